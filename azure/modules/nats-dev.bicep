// A message bus for trying things out. NOT DURABLE: whenever its one replica is replaced, which Azure does when it likes, all
// jobs, schedules, events and uploads are gone. Production takes a NATS with disks of its own: see azure/README.md.
import { Platform } from 'platform.bicep'

param platform Platform

@description('The public image; or an address of your own, with registry and tag.')
param image string = 'nats:2.15-alpine'

param environmentName string = 'cae-${platform.prefix}'
param identityName string = 'id-${platform.prefix}'
param vaultName string = take('kv-${platform.prefix}-${uniqueString(resourceGroup().id)}', 24)

resource managedEnvironment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

// The secret is gzipped, for a secret of a Key Vault has 25 kB at most.
var start = 'base64 -d /secrets/nats-auth | gunzip >/tmp/auth.conf && printf %s "$NATS_CONFIG" >/tmp/nats.conf && exec nats-server --config /tmp/nats.conf'

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: 'nats'
  location: platform.location
  tags: {
    durable: 'no'
    purpose: 'development'
  }
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
        external: false
        targetPort: 4222
        exposedPort: 4222
        transport: 'tcp'
        additionalPortMappings: [
          { targetPort: 8222, exposedPort: 8222, external: false }
        ]
      }
      secrets: [
        {
          name: 'nats-auth'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/nats-auth'
          identity: identity.id
        }
      ]
      identitySettings: [
        { identity: identity.id, lifecycle: 'None' }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'nats'
          image: image
          command: ['sh', '-c']
          args: [start]
          resources: {
            cpu: json('1')
            memory: '2Gi'
          }
          env: [
            { name: 'NATS_CONFIG', value: loadTextContent('../../services/nats.conf') }
          ]
          volumeMounts: [
            { volumeName: 'data', mountPath: '/data' }
            { volumeName: 'secrets', mountPath: '/secrets' }
          ]
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: 8222 }
              periodSeconds: 3
              failureThreshold: 10
            }
            {
              type: 'Readiness'
              httpGet: { path: '/healthz', port: 8222 }
              periodSeconds: 5
            }
            {
              type: 'Liveness'
              httpGet: { path: '/healthz', port: 8222 }
              periodSeconds: 30
            }
          ]
        }
      ]
      scale: {
        minReplicas: 1
        maxReplicas: 1
      }
      volumes: [
        { name: 'data', storageType: 'EmptyDir' }
        {
          name: 'secrets'
          storageType: 'Secret'
          secrets: [
            { secretRef: 'nats-auth', path: 'nats-auth' }
          ]
        }
      ]
    }
  }
}
