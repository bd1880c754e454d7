// Package web is verdict's HTTP listener for those who watch it: /healthz says that the process lives, /readyz whether
// decisions can be made and if not why, /metrics what package metrics has. GET and HEAD only, exact paths, no query.
//
// Nothing that it answers depends on who asks, and it reads neither headers nor bodies beyond Accept. What readiness and
// metrics mean is their owners' to say.
package web
