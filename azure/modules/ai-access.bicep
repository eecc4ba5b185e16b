// The summarizer may ask the models of an Azure OpenAI or Foundry account that is there already.
@description('The account, in the resource group that this is deployed to.')
param accountName string

@description('The summarizer\'s own identity, and where it is.')
param identityName string
param identityResourceGroup string

var modelUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd')

resource account 'Microsoft.CognitiveServices/accounts@2023-05-01' existing = {
  name: accountName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
  scope: resourceGroup(identityResourceGroup)
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, identity.id, modelUser)
  scope: account
  properties: {
    roleDefinitionId: modelUser
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}
