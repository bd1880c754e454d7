// Command lambda packs what AWS Lambda runs: the authorizer as a zip for each architecture, and PEM files as the zip of a layer.
//
//	go run ./deploy/lambda                      dist/verdict-authorizer-arm64.zip and -amd64.zip
//	go run ./deploy/lambda -files ca.pem,…      dist/verdict-authorizer-files.zip
//
// The same source, packed by the same version of Go, is the same zip to the last byte, wherever and whenever: so a deployment
// changes nothing when nothing changed, and a release can be compared with what its source makes. It prints size and SHA-256
// of each, and fails when a zip has grown beyond the limit, since the time of a cold start grows with it.
package main
