// Everything the app needs, for `azd up` or `az deployment sub create` (docs/deploy.md).
//
// No key anywhere: one user-assigned identity is the app to storage, vault, Application Insights and Azure ML.
// Each module gives that identity the roles on what it makes, with the reason beside each.
targetScope = 'subscription'

@description('Names the environment; part of the names of group and app.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Where everything lies; a region with Flex Consumption.')
param location string

@description('Object id of who deploys: may write the vault\'s secrets and read the versions. Empty: nobody.')
param principalId string = ''

@description('When exports run: NCRONTAB with six fields, UTC. Empty: every night at two.')
param exportSchedule string = ''

@description('Hours between two of them, for the alert that none was published; 0 where there is no export.')
@minValue(0)
@maxValue(24)
param exportEveryHours int = 24

@description('App settings that the vault holds, comma-separated. SESAM__JWT is its secret sesam--jwt.')
param settingsFromVault string = 'SESAM__JWT,MODELS__CHURN__KEY'

@description('Further app settings, NAME=value;NAME=value; they beat bridge.toml. No secrets.')
param bridgeSettings string = ''

@description('An existing Azure ML workspace that the app scores at by its identity, or registers versions in.')
param azureMlWorkspace string = ''
param azureMlResourceGroup string = ''
param azureMlSubscription string = '' // empty: this one

@description('The workspace\'s datastore of the container training-data; set, each version becomes a data asset.')
param azureMlDatastore string = ''

@description('Who is told when an alert fires. Empty: alerts are only shown in the portal.')
param alertEmail string = ''

var tags = { 'azd-env-name': environmentName }
var unique = uniqueString(subscription().id, environmentName, location)
var mlSubscription = empty(azureMlSubscription) ? subscription().subscriptionId : azureMlSubscription
// A module that is left out must name a group all the same.
var mlGroup = empty(azureMlResourceGroup) ? 'rg-${environmentName}' : azureMlResourceGroup
var dataAssets = {
  AZURE_ML__SUBSCRIPTION: mlSubscription
  AZURE_ML__RESOURCE_GROUP: mlGroup
  AZURE_ML__WORKSPACE: azureMlWorkspace
  AZURE_ML__DATASTORE: azureMlDatastore
}
// No JSON: its quotation marks do not survive azd's parameter file.
var furtherSettings = toObject(
  filter(split(bridgeSettings, ';'), pair => contains(pair, '=')),
  pair => trim(substring(pair, 0, indexOf(pair, '='))),
  pair => substring(pair, indexOf(pair, '=') + 1)
)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { name: 'id-${unique}', location: location, tags: tags }
}

module storage 'app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${unique}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
  }
}

module vault 'app/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: 'kv-${unique}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: principalId
  }
}

module monitoring 'app/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: { name: unique, location: location, tags: tags, appPrincipalId: identity.outputs.principalId }
}

module alerts 'app/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    exportEveryHours: exportEveryHours
    email: alertEmail
  }
}

module azureMl 'app/azure-ml.bicep' = if (!empty(azureMlWorkspace)) {
  name: 'azure-ml-${unique}'
  scope: resourceGroup(mlSubscription, mlGroup)
  params: { workspaceName: azureMlWorkspace, appPrincipalId: identity.outputs.principalId }
}

module app 'app/function.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: 'func-${environmentName}-${take(unique, 6)}'
    location: location
    tags: union(tags, { 'azd-service-name': 'app' }) // by which `azd deploy` finds it
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    packageContainer: storage.outputs.packageContainer
    vaultUri: vault.outputs.uri
    insightsName: monitoring.outputs.insightsName
    exportSchedule: empty(exportSchedule) ? '0 0 2 * * *' : exportSchedule
    settingsFromVault: empty(settingsFromVault) ? [] : split(settingsFromVault, ',')
    settings: union(empty(azureMlDatastore) ? {} : dataAssets, furtherSettings)
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = app.outputs.url
output KEY_VAULT_NAME string = vault.outputs.name
output STORAGE_ACCOUNT_NAME string = storage.outputs.name
output APP_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
