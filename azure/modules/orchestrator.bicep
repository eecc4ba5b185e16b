// The orchestrator and its API. Alone: deploy this file, or azure/main.bicep with services=["orchestrator"].
import { Platform } from 'platform.bicep'

param platform Platform

@description('The tag of the image.')
param version string

@description('Two or more do the same work; one that is gone is missed by nobody.')
@minValue(1)
param replicas int = 1

@description('Steps admitted at once, over all jobs, when the bus is new; later it is changed live.')
param maxTokens int = 4

@description('The client id of the app registration whose Entra ID tokens are taken, beside keys. Empty: keys only.')
param entraAudience string = ''

@description('Whose tokens they are.')
param entraTenantId string = tenant().tenantId

@description('The app registration\'s roles, and what each may.')
param entraRoles object = {
  'Ingest.Read': 'viewer'
  'Ingest.Run': 'operator'
  'Ingest.Admin': 'admin'
}

@description('From which hosts repositories are fetched by git. *: from any.')
param gitHosts array = ['*']

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

// Each secret of the vault is a file of that name below /secrets.
var files = concat(
  [
    { name: 'neo4j-password', secret: 'neo4j-password' }
    { name: 'nats-seed', secret: 'nats-orchestrator' }
    { name: 'api-keys', secret: 'api-keys' }
  ],
  platform.natsCa ? [{ name: 'nats-ca', secret: 'nats-ca' }] : [],
  platform.otlpHeaders ? [{ name: 'otlp-headers', secret: 'otlp-headers' }] : []
)

var mounted = [for file in files: { secretRef: file.name, path: file.name }]

var common = [
  { name: 'CODESTORY_NATS_URL', value: platform.natsUrl }
  { name: 'CODESTORY_NATS_NKEY_SEED_FILE', value: '/secrets/nats-seed' }
  { name: 'CODESTORY_NAMESPACE', value: platform.namespace }
  { name: 'CODESTORY_NEO4J_URI', value: platform.neo4jUri }
  { name: 'CODESTORY_NEO4J_USER', value: platform.neo4jUser }
  { name: 'CODESTORY_NEO4J_DATABASE', value: platform.neo4jDatabase }
  { name: 'CODESTORY_NEO4J_PASSWORD_FILE', value: '/secrets/neo4j-password' }
  { name: 'CODESTORY_API_KEYS_FILE', value: '/secrets/api-keys' }
  // No disk here holds repositories: they come by upload or from a git address.
  { name: 'CODESTORY_REPOSITORY_ROOTS', value: '[]' }
  { name: 'CODESTORY_RESOURCE_MAX_TOKENS', value: string(maxTokens) }
  { name: 'CODESTORY_GIT_HOSTS', value: string(gitHosts) }
  // Two are fetched at once, and both lie on the replica's disk of 4 GiB.
  { name: 'CODESTORY_GIT_MAX_BYTES', value: '1073741824' }
  { name: 'CODESTORY_LOG_LEVEL', value: platform.logLevel }
]
var tls = platform.natsCa ? [{ name: 'CODESTORY_NATS_TLS_CA_FILE', value: '/secrets/nats-ca' }] : []
var endpoint = empty(platform.otlpEndpoint) ? [] : [
  { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: platform.otlpEndpoint }
]
var sender = platform.otlpHeaders ? [{ name: 'OTEL_EXPORTER_OTLP_HEADERS_FILE', value: '/secrets/otlp-headers' }] : []
var tracing = concat(endpoint, sender)
var entra = empty(entraAudience) ? [] : [
  { name: 'CODESTORY_OIDC_ISSUER', value: '${environment().authentication.loginEndpoint}${entraTenantId}/v2.0' }
  { name: 'CODESTORY_OIDC_AUDIENCE', value: entraAudience }
  { name: 'CODESTORY_OIDC_ROLES', value: string(entraRoles) }
]

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: 'orchestrator'
  location: platform.location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    environmentId: managedEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: platform.publicApi
        targetPort: 8420
        transport: 'auto'
        allowInsecure: false
        traffic: [
          { latestRevision: true, weight: 100 }
        ]
      }
      registries: [
        { server: registry.properties.loginServer, identity: identity.id }
      ]
      secrets: [for file in files: {
        name: file.name
        keyVaultUrl: '${vault.properties.vaultUri}secrets/${file.secret}'
        identity: identity.id
      }]
      // What reads the vault and pulls the image is not there for code that runs in the container.
      identitySettings: [
        { identity: identity.id, lifecycle: 'None' }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'orchestrator'
          image: '${registry.properties.loginServer}/codestory/orchestrator:${version}'
          resources: {
            cpu: json('1')
            memory: '2Gi'
          }
          env: concat(common, tls, tracing, entra)
          volumeMounts: [
            { volumeName: 'secrets', mountPath: '/secrets' }
          ]
          probes: [
            {
              type: 'Readiness'
              httpGet: { path: '/readyz', port: 8420 }
              periodSeconds: 5
              timeoutSeconds: 6
              failureThreshold: 3
            }
            {
              type: 'Liveness'
              httpGet: { path: '/livez', port: 8420 }
              initialDelaySeconds: 60
              periodSeconds: 15
              timeoutSeconds: 6
              failureThreshold: 8
            }
          ]
        }
      ]
      // It hears the steps' news, and looks for what was lost: it is never scaled to zero.
      scale: {
        minReplicas: replicas
        maxReplicas: replicas
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
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
