// The Container Apps environment, and where its logs go.
param prefix string
param location string

@description('A subnet delegated to Microsoft.App/environments, in whose network the bus and the graph are. Empty: Azure\'s own.')
param infrastructureSubnetId string = ''

@description('Nothing in it is reached from the internet. Needs a subnet.')
param internal bool = false

param environmentName string = 'cae-${prefix}'
param workspaceName string = 'log-${prefix}'

resource workspace 'Microsoft.OperationalInsights/workspaces@2022-10-01' = {
  name: workspaceName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
  }
}

resource managedEnvironment 'Microsoft.App/managedEnvironments@2026-07-01' = {
  name: environmentName
  location: location
  properties: {
    // By a diagnostic setting, which needs no key of the workspace.
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    workloadProfiles: [
      { name: 'Consumption', workloadProfileType: 'Consumption' }
    ]
    vnetConfiguration: empty(infrastructureSubnetId) ? null : {
      infrastructureSubnetId: infrastructureSubnetId
      internal: internal
    }
    zoneRedundant: !empty(infrastructureSubnetId)
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: managedEnvironment
  properties: {
    workspaceId: workspace.id
    logs: [
      { category: 'ContainerAppConsoleLogs', enabled: true }
      { category: 'ContainerAppSystemLogs', enabled: true }
    ]
  }
}

output defaultDomain string = managedEnvironment.properties.defaultDomain
