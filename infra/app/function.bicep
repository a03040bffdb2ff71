// The Function App, on Flex Consumption.
param name string
param location string
param tags object
param identityId string
param identityClientId string
param storageName string
param packageContainer string
param vaultUri string
param insightsName string
param exportSchedule string
param settingsFromVault array
param settings object

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true } // Linux
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId // else references are read as a system-assigned identity, which is not there
    siteConfig: { minTlsVersion: '1.2', scmMinTlsVersion: '1.2', ftpsState: 'Disabled' }
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      scaleAndConcurrency: {
        // One core. A call of 100 entities takes some MB; the export streams in about 150 MB whatever its size.
        instanceMemoryMB: 2048
        // The fewest that the platform allows. A model's in_flight holds in each instance: more instances would
        // only press harder on a web service that takes a few requests at a time.
        maximumInstanceCount: 40
        // Python's default is 1: an instance for each call. A call here mostly waits for the web service; 16 at
        // a time fill a core, and stay well below in_flight (64) with `parallel` 2 each.
        triggers: { http: { perInstanceConcurrency: 16 } }
      }
    }
  }

  resource publishingByFtp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource publishingByPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false } // azd and func deploy with an Entra token
  }
}

var fromVault = toObject(
  settingsFromVault,
  setting => trim(setting),
  setting => '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/${toLower(replace(trim(setting), '_', '-'))})'
)

resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    {
      // The host's own connection, which is also the queue trigger's and, with [storage] unset, the versions'.
      // accountName stands for the blob, queue and table addresses; settings.host_storage reads the same.
      AzureWebJobsStorage__accountName: storage.name
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identityClientId
      // azure-identity reads it wherever the settings name no client_id: for Azure ML, and for [storage].
      AZURE_CLIENT_ID: identityClientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
      // What the exporter would tell of itself: some to Microsoft, some as metrics beside ours.
      APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL: 'true'
      APPLICATIONINSIGHTS_SDKSTATS_DISABLED: 'true'
      APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED: 'true'
      PYTHON_ENABLE_OPENTELEMETRY: 'true'
      TRAINING_EXPORT_SCHEDULE: exportSchedule
    },
    fromVault,
    settings
  )
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
