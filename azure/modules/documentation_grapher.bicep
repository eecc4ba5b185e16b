// The documentation_grapher step. Alone: deploy this file, or azure/main.bicep with services=["documentation_grapher"].
import { Platform } from 'platform.bicep'

param platform Platform

@description('The tag of the image.')
param version string

@minValue(1)
param maxReplicas int = 2

param registryName string = take('cr${replace(platform.prefix, '-', '')}${uniqueString(resourceGroup().id)}', 50)

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

module step 'step.bicep' = {
  name: 'step-documentation-grapher'
  params: {
    platform: platform
    step: 'documentation_grapher'
    image: '${registry.properties.loginServer}/codestory/docgrapher:${version}'
    registryName: registryName
    cpu: '1'
    memory: '2Gi'
    maxReplicas: maxReplicas
  }
}
