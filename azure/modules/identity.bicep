// Who the services are to Azure: one identity that reads the vault and pulls images, and is not there for code that runs in a
// container; and one that is the summarizer's own, for a model's endpoint.
param prefix string
param location string

param identityName string = 'id-${prefix}'
param modelIdentityName string = 'id-${prefix}-summarizer'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: identityName
  location: location
}

resource modelIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: modelIdentityName
  location: location
}

output principalId string = identity.properties.principalId
output modelClientId string = modelIdentity.properties.clientId
