// For trying things out: a bus that forgets, keys only, the smallest of everything.
using 'main.bicep'

param platform = {
  prefix: 'codestory'
  location: 'westeurope'
  natsUrl: 'nats://nats:4222'
  natsCa: false
  natsMonitoring: 'nats:8222'
  namespace: 'codestory'
  neo4jUri: readEnvironmentVariable('NEO4J_URI')
  neo4jUser: readEnvironmentVariable('NEO4J_USER', 'neo4j')
  neo4jDatabase: readEnvironmentVariable('NEO4J_DATABASE', 'neo4j')
  publicApi: true
  scalerMode: 'metricsApi'
  // A bus that has forgotten the steps hears of them only from replicas that live.
  minReplicas: 1
  drainSeconds: 60
  logLevel: 'INFO'
  otlpEndpoint: ''
  otlpHeaders: false
}

param services = [
  'foundation'
  'nats-dev'
  'orchestrator'
  'blarify'
  'filesystem'
  'summarizer'
  'documentation_grapher'
]
param version = readEnvironmentVariable('VERSION', 'dev')
param maxReplicas = {
  blarify: 1
  filesystem: 1
  summarizer: 1
  documentation_grapher: 1
}
param purgeProtection = false
