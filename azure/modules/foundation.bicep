// What the services stand on: deployed first, for secrets and images must be there before a service is.
param prefix string
param location string
param infrastructureSubnetId string = ''
param internal bool = false
param purgeProtection bool

module identities 'identity.bicep' = {
  name: 'identities'
  params: {
    prefix: prefix
    location: location
  }
}

module vault 'key-vault.bicep' = {
  name: 'key-vault'
  params: {
    prefix: prefix
    location: location
    principalId: identities.outputs.principalId
    purgeProtection: purgeProtection
  }
}

module registry 'registry.bicep' = {
  name: 'registry'
  params: {
    prefix: prefix
    location: location
    principalId: identities.outputs.principalId
  }
}

module managedEnvironment 'environment.bicep' = {
  name: 'environment'
  params: {
    prefix: prefix
    location: location
    infrastructureSubnetId: infrastructureSubnetId
    internal: internal
  }
}

output vaultName string = vault.outputs.name
output registryName string = registry.outputs.name
output defaultDomain string = managedEnvironment.outputs.defaultDomain
