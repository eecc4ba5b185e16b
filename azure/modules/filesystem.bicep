// The filesystem step. Alone: deploy this file, or azure/main.bicep with services=["filesystem"].
import { Platform } from 'platform.bicep'

param platform Platform

@description('The tag of the image.')
param version string

@minValue(1)
param maxReplicas int = 1

param registryName string = take('cr${replace(platform.prefix, '-', '')}${uniqueString(resourceGroup().id)}', 50)

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

module step 'step.bicep' = {
  name: 'step-filesystem'
  params: {
    platform: platform
    step: 'filesystem'
    image: '${registry.properties.loginServer}/codestory/filesystem:${version}'
    registryName: registryName
    cpu: '1'
    memory: '2Gi'
    maxReplicas: maxReplicas
  }
}
