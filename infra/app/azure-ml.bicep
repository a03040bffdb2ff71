// The app's role in a workspace that exists already, in a group of its own.
param workspaceName string
param appPrincipalId string

resource workspace 'Microsoft.MachineLearningServices/workspaces@2024-10-01' existing = {
  name: workspaceName
}

// AzureML Data Scientist: onlineEndpoints/score for models with auth = "entra", data/versions/write for data
// assets. The smallest built-in role that holds both; where only scoring is wanted, a custom role with
// Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action is enough.
var dataScientist = 'f6c7c914-8db3-469d-8ca1-694a8f32e121'

resource appMay 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: workspace
  name: guid(workspace.id, appPrincipalId, dataScientist)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataScientist)
  }
}
