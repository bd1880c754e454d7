// Package graphtest is a Microsoft Graph for tests: an http.Handler that speaks the shapes of the few calls that verdict
// makes (getMemberGroups, transitiveMemberOf in pages, $batch) and refuses everything else. It checks the token, knows
// several tenants, refuses more than 11 000 groups in one list as Graph does, and can be told what to answer instead.
package graphtest
