// Where the images lie, and who may pull them.
param prefix string
param location string

@description('Of the identity that may pull.')
param principalId string

param registryName string = take('cr${replace(prefix, '-', '')}${uniqueString(resourceGroup().id)}', 50)

var pull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: registryName
  location: location
  sku: {
    name: 'Basic'
  }
  properties: {
    adminUserEnabled: false
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, principalId, pull)
  scope: registry
  properties: {
    roleDefinitionId: pull
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output name string = registry.name
