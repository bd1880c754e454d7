// Package kafka is the sink that produces to a topic of Kafka: a record a message, keyed by tenant, so that a tenant's records
// are in one partition and in their order. The producer is idempotent and waits for all in-sync replicas; what the client
// library tries again by itself comes once. A batch whose outcome is unknown comes again: the header decision_id tells.
package kafka
