// The node's token and the web services' keys. The template makes the vault and never sees what is in it:
// secrets are in no parameter, no deployment's history and no file of azd's.
param name string
param location string
param tags object
param appPrincipalId string
param deployerPrincipalId string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true // roles, as everywhere here; no access policies beside them
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
  }
}

// Key Vault Secrets User: the platform reads the secrets as the app's identity, for its settings.
var user = '4633458b-17de-408a-b874-0445c86b69e6'

resource appMay 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, appPrincipalId, user)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', user)
  }
}

// Key Vault Secrets Officer: who deploys writes them.
var officer = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'

resource deployerMay 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(deployerPrincipalId)) {
  scope: vault
  name: guid(vault.id, deployerPrincipalId, officer)
  properties: {
    principalId: deployerPrincipalId
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', officer)
  }
}

output name string = vault.name
output uri string = vault.properties.vaultUri
