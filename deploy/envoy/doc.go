// Package envoy owns the Envoy configuration that verdict ships, envoy.yaml, and runs an Envoy with it. End-to-end tests
// use it through envoytest, so the file that operators copy is the file that is tried on every change; Config alters
// nothing in it but the ports. It imports none of verdict's packages.
package envoy
