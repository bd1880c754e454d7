// Package metrics declares every metric of verdict, each once with its text (catalogue.go), and serves them in
// Prometheus' format from a registry of its own.
//
// Decisions are counted on the hot path: Observe adds to counters that were made beforehand, one for each door, effect and
// reason, and allocates nothing. Everything else is read from its owner (policy, audit, keys) when somebody scrapes, so
// that a metric and SystemService.Status cannot disagree.
//
// Labels are from closed lists or from the configuration: doors, effects, reasons, tenants. No label carries a person, an
// application, an api's path or a part of a token.
package metrics
