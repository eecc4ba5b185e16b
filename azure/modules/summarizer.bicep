// The summarizer step. Alone: deploy this file, or azure/main.bicep with services=["summarizer"].
import { Platform } from 'platform.bicep'

param platform Platform

@description('The tag of the image.')
param version string

@minValue(1)
param maxReplicas int = 5

@description('https://NAME.openai.azure.com, whose models jobs with provider azure are summarized by. Empty: there is none.')
param azureAiUrl string = ''

@description('The deployment, where a job does not name one.')
param azureAiDeployment string = ''

param registryName string = take('cr${replace(platform.prefix, '-', '')}${uniqueString(resourceGroup().id)}', 50)
param modelIdentityName string = 'id-${platform.prefix}-summarizer'

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

// What the step itself is to the model's endpoint: it needs no key.
resource modelIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: modelIdentityName
}

var model = empty(azureAiUrl) ? [] : [
  { name: 'CODESTORY_AZURE_URL', value: azureAiUrl }
  { name: 'CODESTORY_AZURE_DEPLOYMENT', value: azureAiDeployment }
  { name: 'CODESTORY_AZURE_AUTH', value: 'managed_identity' }
  { name: 'CODESTORY_AZURE_CLIENT_ID', value: modelIdentity.properties.clientId }
]

module step 'step.bicep' = {
  name: 'step-summarizer'
  params: {
    platform: platform
    step: 'summarizer'
    image: '${registry.properties.loginServer}/codestory/summarizer:${version}'
    registryName: registryName
    settings: model
    ownIdentityId: empty(azureAiUrl) ? '' : modelIdentity.id
    maxReplicas: maxReplicas
  }
}
