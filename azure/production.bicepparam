// A bus and a graph with disks of their own, in the network of the subnet; steps that are there while they have work.
using 'main.bicep'

param platform = {
  prefix: 'codestory'
  location: 'westeurope'
  natsUrl: readEnvironmentVariable('NATS_URL')
  natsCa: true
  natsMonitoring: readEnvironmentVariable('NATS_MONITORING', '')
  namespace: 'codestory'
  neo4jUri: readEnvironmentVariable('NEO4J_URI')
  neo4jUser: readEnvironmentVariable('NEO4J_USER', 'neo4j')
  neo4jDatabase: readEnvironmentVariable('NEO4J_DATABASE', 'neo4j')
  publicApi: true
  scalerMode: 'metricsApi'
  minReplicas: 0
  drainSeconds: 540
  logLevel: 'INFO'
  otlpEndpoint: readEnvironmentVariable('OTLP_ENDPOINT', '')
  otlpHeaders: false
}

param version = readEnvironmentVariable('VERSION')
// Services that stay at, or go back to, another version than the rest.
param versions = {}
param maxReplicas = {
  blarify: 1
  filesystem: 1
  summarizer: 5
  documentation_grapher: 2
}
param orchestratorReplicas = 2
param maxTokens = 8
param entraAudience = readEnvironmentVariable('ENTRA_AUDIENCE')
param gitHosts = ['github.com']
param azureAiUrl = readEnvironmentVariable('AZURE_AI_URL', '')
param azureAiDeployment = readEnvironmentVariable('AZURE_AI_DEPLOYMENT', '')
param azureAiAccount = readEnvironmentVariable('AZURE_AI_ACCOUNT', '')
param azureAiResourceGroup = readEnvironmentVariable('AZURE_AI_RESOURCE_GROUP', '')
param infrastructureSubnetId = readEnvironmentVariable('SUBNET_ID')
