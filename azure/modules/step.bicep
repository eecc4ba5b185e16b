// A step of the pipeline as a container app: no ingress, and no replica where there is nothing to do. Steps of somebody else's
// are deployed with it as ours are: give its name and its image.
import { Platform } from 'platform.bicep'

param platform Platform

@description('The name of the step, as its image and the pipeline say it.')
param step string

@description('The image, with its registry and tag.')
param image string

@description('The environment variables of this step alone: objects of name and value.')
param settings array = []

@description('Of a user-assigned identity that the step itself may use. Empty: it has none.')
param ownIdentityId string = ''

@description('Processor cores and memory, as Container Apps pairs them: 2 Gi for each core. 1 core or less has 4 GiB of disk, more has 8.')
param cpu string = '1'
param memory string = '2Gi'

@description('The most replicas. More than the step\'s concurrency have nothing to do.')
@minValue(1)
param maxReplicas int = 1

param environmentName string = 'cae-${platform.prefix}'
param identityName string = 'id-${platform.prefix}'
param vaultName string = take('kv-${platform.prefix}-${uniqueString(resourceGroup().id)}', 24)
param registryName string = take('cr${replace(platform.prefix, '-', '')}${uniqueString(resourceGroup().id)}', 50)

resource managedEnvironment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

var appName = replace(step, '_', '-')

// Each secret of the vault is a file of that name below /secrets.
var files = concat(
  [
    { name: 'neo4j-password', secret: 'neo4j-password' }
    { name: 'nats-seed', secret: 'nats-step-${appName}' }
  ],
  platform.natsCa ? [{ name: 'nats-ca', secret: 'nats-ca' }] : [],
  platform.otlpHeaders ? [{ name: 'otlp-headers', secret: 'otlp-headers' }] : []
)

var mounted = [for file in files: { secretRef: file.name, path: file.name }]

// Known to the scale rule alone.
var scalerKey = (platform.scalerMode == 'metricsApi') ? [{ name: 'scaler-key', secret: 'scaler-key' }] : []

var common = [
  { name: 'CODESTORY_NATS_URL', value: platform.natsUrl }
  { name: 'CODESTORY_NATS_NKEY_SEED_FILE', value: '/secrets/nats-seed' }
  { name: 'CODESTORY_NAMESPACE', value: platform.namespace }
  { name: 'CODESTORY_NEO4J_URI', value: platform.neo4jUri }
  { name: 'CODESTORY_NEO4J_USER', value: platform.neo4jUser }
  { name: 'CODESTORY_NEO4J_DATABASE', value: platform.neo4jDatabase }
  { name: 'CODESTORY_NEO4J_PASSWORD_FILE', value: '/secrets/neo4j-password' }
  { name: 'CODESTORY_SNAPSHOT_CACHE', value: '/var/cache/codestory' }
  // Two repositories of the largest size, beside the step's temporary files, are less than the replica's disk.
  { name: 'CODESTORY_SNAPSHOT_CACHE_BYTES', value: '1073741824' }
  { name: 'CODESTORY_SNAPSHOT_UNPACKED_BYTES', value: '1073741824' }
  // A replica runs one thing, so that the number of replicas is the number of runs.
  { name: 'CODESTORY_SLOTS', value: '1' }
  { name: 'CODESTORY_DRAIN_SECONDS', value: string(platform.drainSeconds) }
  { name: 'CODESTORY_LOG_LEVEL', value: platform.logLevel }
]
var tls = platform.natsCa ? [{ name: 'CODESTORY_NATS_TLS_CA_FILE', value: '/secrets/nats-ca' }] : []
var endpoint = empty(platform.otlpEndpoint) ? [] : [
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: platform.otlpEndpoint }
]
var sender = platform.otlpHeaders ? [{ name: 'OTEL_EXPORTER_OTLP_HEADERS_FILE', value: '/secrets/otlp-headers' }] : []
var tracing = concat(endpoint, sender)

// Where its commands wait for a token, by priority, and where they are until they have ended.
var consumers = [
  { name: 'run', stream: 'RUN', consumer: step }
  { name: 'high', stream: 'READY', consumer: 'high-${step}' }
  { name: 'default', stream: 'READY', consumer: 'default-${step}' }
  { name: 'low', stream: 'READY', consumer: 'low-${step}' }
]
var natsRules = [for queue in consumers: {
  name: 'nats-${queue.name}'
  custom: {
    type: 'nats-jetstream'
    metadata: {
      natsServerMonitoringEndpoint: platform.natsMonitoring
      account: 'CODESTORY'
      stream: '${platform.namespace}_${queue.stream}'
      consumer: queue.consumer
      lagThreshold: '1'
      activationLagThreshold: '0'
    }
  }
}]
var api = platform.publicApi ? 'orchestrator' : 'orchestrator.internal'
var metricsApiRules = [
  {
    name: 'lag'
    custom: {
      type: 'metrics-api'
      metadata: {
        url: 'https://${api}.${managedEnvironment.properties.defaultDomain}/v1/ingest/scale/${step}'
        valueLocation: 'lag'
        targetValue: '1'
        activationTargetValue: '0'
        authMode: 'bearer'
      }
      auth: [
        { secretRef: 'scaler-key', triggerParameter: 'token' }
      ]
    }
  }
]
var rules = {
  nats: natsRules
  metricsApi: metricsApiRules
  fixed: []
}

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: appName
  location: platform.location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: union({ '${identity.id}': {} }, empty(ownIdentityId) ? {} : { '${ownIdentityId}': {} })
  }
  properties: {
    environmentId: managedEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [
        { server: registry.properties.loginServer, identity: identity.id }
      ]
      secrets: [for file in concat(files, scalerKey): {
        name: file.name
        keyVaultUrl: '${vault.properties.vaultUri}secrets/${file.secret}'
        identity: identity.id
      }]
      // What reads the vault and pulls the image is not there for code that runs in the container.
      identitySettings: concat(
        [{ identity: identity.id, lifecycle: 'None' }],
        empty(ownIdentityId) ? [] : [{ identity: ownIdentityId, lifecycle: 'Main' }]
      )
    }
    template: {
      terminationGracePeriodSeconds: platform.drainSeconds + 30
      containers: [
        {
          name: appName
          image: image
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          env: concat(common, tls, tracing, settings)
          volumeMounts: [
            { volumeName: 'secrets', mountPath: '/secrets' }
          ]
          probes: [
            {
              type: 'Readiness'
              httpGet: { path: '/readyz', port: 8421 }
              periodSeconds: 5
              timeoutSeconds: 6
              failureThreshold: 3
            }
            {
              type: 'Liveness'
              httpGet: { path: '/livez', port: 8421 }
              initialDelaySeconds: 60
              periodSeconds: 15
              timeoutSeconds: 6
              failureThreshold: 8
            }
          ]
        }
      ]
      scale: {
        minReplicas: (platform.scalerMode == 'fixed') ? maxReplicas : platform.minReplicas
        maxReplicas: maxReplicas
        pollingInterval: 10
        cooldownPeriod: 300
        rules: rules[platform.scalerMode]
      }
      volumes: [
        {
          name: 'secrets'
          storageType: 'Secret'
          secrets: mounted
        }
      ]
    }
  }
}

output name string = app.name
output revision string = app.properties.latestRevisionName
