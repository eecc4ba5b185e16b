// The vault that holds every secret, and who may read it. What is in it is put there by azure/set-secrets.
param prefix string
param location string

@description('Of the identity that may read secrets.')
param principalId string

@description('Nothing in it can be destroyed for good before its time. This cannot be taken back.')
param purgeProtection bool

param vaultName string = take('kv-${prefix}-${uniqueString(resourceGroup().id)}', 24)

var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: vaultName
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: purgeProtection ? true : null
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, secretsUser)
  scope: vault
  properties: {
    roleDefinitionId: secretsUser
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output name string = vault.name
