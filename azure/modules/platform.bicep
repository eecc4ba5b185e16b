// What the services of one deployment share. Nothing here is a secret: those lie in the Key Vault, and only their names are known.

// What decides how many replicas a step has. nats: KEDA asks the bus's monitoring port. metricsApi: KEDA asks the orchestrator,
// GET /v1/ingest/scale/{step}; for a bus whose monitoring port cannot be reached. fixed: as many as it may have, always.
@export()
type ScalerMode = 'nats' | 'metricsApi' | 'fixed'

// How long a step that is told to stop may go on with what it runs; what is left is given to another. Container Apps is
// believed to grant 600 seconds at most between SIGTERM and SIGKILL.
@export()
@minValue(5)
@maxValue(570)
type DrainSeconds = int

@export()
type Platform = {
  // 3 to 16 lower-case letters, digits and inner hyphens, with which the names of shared resources are made.
  prefix: string
  location: string
  // The message bus: nats://HOST:4222, or tls://HOST:4222.
  natsUrl: string
  // Its certificate is signed by the secret nats-ca, not by a public authority.
  natsCa: bool
  // HOST:PORT of its monitoring, where scalerMode is nats.
  natsMonitoring: string
  // All names on the bus carry it, so that two deployments can share one.
  namespace: string
  // The graph: bolt://HOST:7687, neo4j+s://HOST.
  neo4jUri: string
  neo4jUser: string
  neo4jDatabase: string
  // The API is reached from outside of the Container Apps environment.
  publicApi: bool
  scalerMode: ScalerMode
  // The fewest replicas of a step: 0, unless the bus forgets which steps there are.
  minReplicas: int
  drainSeconds: DrainSeconds
  logLevel: string
  // Where spans are sent, OTLP over HTTP: http://HOST:4318. Empty: nowhere.
  otlpEndpoint: string
  // The secret otlp-headers says who sends them, for a collector that wants to know: authorization=Bearer%20….
  otlpHeaders: bool
}
