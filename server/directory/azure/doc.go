// Package azure gives access tokens for Microsoft Graph: a graph.TokenSource on azidentity, with a workload identity, a
// managed identity, a certificate or a client secret. The last two come from files, which are read again when they change.
// It stands apart so that who does not ask Graph does not load the library.
//
// A credential serves its own tenant and those that are named beside it, never another one. Its errors name the kind of
// credential and Entra's error code; what Entra wrote beside it is not shown.
package azure
