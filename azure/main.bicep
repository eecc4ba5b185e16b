// Everything, or those services that are named: docs/howto/deploy-azure-container-apps.md.
import { Platform } from 'modules/platform.bicep'

param platform Platform

@description('What is deployed by this call; the rest stays as it is.')
param services array = [
  'foundation'
  'orchestrator'
  'blarify'
  'filesystem'
  'summarizer'
  'documentation_grapher'
]

@description('The tag of the images.')
param version string

@description('The tags of those services that have another: { blarify: \'1.2.4\' }.')
param versions object = {}

@description('The most replicas of each step: its concurrency.')
param maxReplicas object = {
  blarify: 1
  filesystem: 1
  summarizer: 5
  documentation_grapher: 2
}

@minValue(1)
param orchestratorReplicas int = 1

@description('Steps admitted at once, over all jobs, when the bus is new.')
param maxTokens int = 4

@description('The client id of the app registration whose Entra ID tokens the API takes. Empty: keys only.')
param entraAudience string = ''

@description('From which hosts repositories are fetched by git.')
param gitHosts array = ['*']

@description('https://NAME.openai.azure.com, or empty: no model.')
param azureAiUrl string = ''
param azureAiDeployment string = ''

@description('The account of that address, on which the summarizer is given its role. Empty: it is given elsewhere.')
param azureAiAccount string = ''

@description('Where that account is. Empty: in this resource group.')
param azureAiResourceGroup string = ''

@description('The subnet of the environment. Empty: Azure\'s own network.')
param infrastructureSubnetId string = ''

@description('The environment is not reached from the internet. Needs a subnet.')
param internal bool = false

param purgeProtection bool = true

var tags = union(
  {
    orchestrator: version
    blarify: version
    filesystem: version
    summarizer: version
    documentation_grapher: version
  },
  versions
)

module foundation 'modules/foundation.bicep' = if (contains(services, 'foundation')) {
  name: 'foundation'
  params: {
    prefix: platform.prefix
    location: platform.location
    infrastructureSubnetId: infrastructureSubnetId
    internal: internal
    purgeProtection: purgeProtection
  }
}

module modelAccess 'modules/ai-access.bicep' = if (contains(services, 'summarizer') && !empty(azureAiAccount)) {
  name: 'ai-access'
  scope: resourceGroup(empty(azureAiResourceGroup) ? resourceGroup().name : azureAiResourceGroup)
  params: {
    accountName: azureAiAccount
    identityName: 'id-${platform.prefix}-summarizer'
    identityResourceGroup: resourceGroup().name
  }
  dependsOn: [
    foundation
  ]
}

// Not durable: for trying things out.
module nats 'modules/nats-dev.bicep' = if (contains(services, 'nats-dev')) {
  name: 'nats-dev'
  params: {
    platform: platform
  }
  dependsOn: [
    foundation
  ]
}

module orchestrator 'modules/orchestrator.bicep' = if (contains(services, 'orchestrator')) {
  name: 'orchestrator'
  params: {
    platform: platform
    version: tags.orchestrator
    replicas: orchestratorReplicas
    maxTokens: maxTokens
    entraAudience: entraAudience
    gitHosts: gitHosts
  }
  dependsOn: [
    foundation
    nats
  ]
}

module blarify 'modules/blarify.bicep' = if (contains(services, 'blarify')) {
  name: 'blarify'
  params: {
    platform: platform
    version: tags.blarify
    maxReplicas: maxReplicas.blarify
  }
  dependsOn: [
    foundation
  ]
}

module filesystem 'modules/filesystem.bicep' = if (contains(services, 'filesystem')) {
  name: 'filesystem'
  params: {
    platform: platform
    version: tags.filesystem
    maxReplicas: maxReplicas.filesystem
  }
  dependsOn: [
    foundation
  ]
}

module summarizer 'modules/summarizer.bicep' = if (contains(services, 'summarizer')) {
  name: 'summarizer'
  params: {
    platform: platform
    version: tags.summarizer
    maxReplicas: maxReplicas.summarizer
    azureAiUrl: azureAiUrl
    azureAiDeployment: azureAiDeployment
  }
  dependsOn: [
    foundation
  ]
}

module documentation_grapher 'modules/documentation_grapher.bicep' = if (contains(services, 'documentation_grapher')) {
  name: 'documentation-grapher'
  params: {
    platform: platform
    version: tags.documentation_grapher
    maxReplicas: maxReplicas.documentation_grapher
  }
  dependsOn: [
    foundation
  ]
}
