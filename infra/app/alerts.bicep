// Three alerts, on the metrics of telemetry.py; a test compares their names and outcomes.
param location string
param tags object
param workspaceId string
param exportEveryHours int
param email string

// A share of a few is chance: fewer batches or entities than these say nothing.
var errorShare = '0.05'
var batchesAtLeast = '20'
var outsideShare = '0.1'
var entitiesAtLeast = '200'

// `unchanged` counts: the node was asked, and its data is what latest already holds. The second half fires
// where nothing ran at all: a timer that is dead tells no metric.
var noVersion = '''
let runs = AppMetrics
| where TimeGenerated > ago({hours}h) and Name == "bridge.runs"
| extend export = tostring(Properties["export"]), outcome = tostring(Properties["outcome"]);
runs
| summarize good = sumif(Sum, outcome in ("published", "unchanged")) by export
| where good == 0
| union (runs | summarize ran = count() | where ran == 0 | extend export = "(no run at all)")
'''

var errors = '''
AppMetrics
| where Name == "bridge.batches"
| extend model = tostring(Properties["model"]), outcome = tostring(Properties["outcome"])
| summarize batches = sum(Sum), failed = sumif(Sum, outcome != "scored") by model
| where batches >= {atLeast} and failed > {share} * batches
'''

var outside = '''
AppMetrics
| where Name in ("bridge.entities.scored", "bridge.entities.outside_contract")
| extend model = tostring(Properties["model"])
| summarize
    scored = sumif(Sum, Name == "bridge.entities.scored"),
    outside = sumif(Sum, Name == "bridge.entities.outside_contract") by model
| where scored >= {atLeast} and outside > {share} * scored
'''

var everyAlert = [
  {
    name: 'no-published-version'
    title: 'Sesam ↔ Azure ML: no published version for two schedules'
    advice: 'GET /api/exports/{export} says why the last run published none.'
    query: replace(noVersion, '{hours}', string(2 * exportEveryHours))
    window: 'P2D' // the longest there is; the query itself looks back two schedules
    every: 'PT1H'
    by: 'export'
    severity: 1
  }
  {
    name: 'error-rate'
    title: 'Sesam ↔ Azure ML: more than 5 % of the batches failed'
    advice: 'The batch lines in AppTraces name the outcome; docs/operate.md has each with its cure.'
    query: replace(replace(errors, '{atLeast}', batchesAtLeast), '{share}', errorShare)
    window: 'PT15M'
    every: 'PT5M'
    by: 'model'
    severity: 1
  }
  {
    name: 'outside-contract'
    title: 'Sesam ↔ Azure ML: more than 10 % of the entities lie outside the contract'
    advice: 'The data has moved away from what the model was trained on: GET /api/models/{model} shows the drift.'
    query: replace(replace(outside, '{atLeast}', entitiesAtLeast), '{share}', outsideShare)
    window: 'PT1H'
    every: 'PT15M'
    by: 'model'
    severity: 2
  }
]

// An app that only scores has no schedule to miss.
var wanted = filter(everyAlert, alert => alert.by != 'export' || exportEveryHours > 0)

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'sesam-azure-ml'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'sesam-aml'
    enabled: true
    emailReceivers: [{ name: 'operator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource rules 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = [
  for alert in wanted: {
    name: 'alert-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: alert.advice
      severity: alert.severity
      enabled: true
      scopes: [workspaceId]
      windowSize: alert.window
      evaluationFrequency: alert.every
      autoMitigate: true // it goes away when the trouble does
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: [{ name: alert.by, operator: 'Include', values: ['*'] }]
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: empty(email) ? [] : [people.id] }
    }
  }
]
