package pdp

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
)

// Question is what a door asks. It is read during Decide and not kept.
type Question struct {
	Door string // fixed name of the door, for the record
	PEP  string // who asks, from its client certificate; "" unknown

	API         string       // explicit api id; "": by host
	HTTP        *request.Raw // the request, or nil for a permission question
	Permission  string       // of a permission question
	Resource    string       // of a permission question; "" none
	Token       string       // a bare token; "": the Authorization header of HTTP
	SourceIP    netip.Addr   // invalid: unknown
	SNI         string       // "" unknown
	MinRevision uint64       // 0: any
	Permitted   bool         // also say which routes of the api the caller may use; with HTTP only
}

// Answer is a decision, recorded already. Slices are its own.
type Answer struct {
	ID       string // UUIDv7
	At       time.Time
	Effect   policy.Effect
	Reason   policy.Reason
	Detail   string // which check failed, for the record and verbose callers; fixed texts and ids of our own
	Revision uint64 // 0: no policy

	Caller      *entra.Token // proven caller; nil: nobody was proven
	API         string
	Route       string
	Template    string
	Permissions []string // asked for
	Grants      []string // that decided
	Missing     []string // that the caller lacks
	Scopes      []string // of which one would carry what is missing
	SignIn      SignIn   // what would have to be different about the caller's sign-in; zero: nothing

	// Until is the instant up to which the same question has the same answer as far as time alone goes; zero when the
	// answer holds for this one question only.
	Until time.Time

	anonymous bool // LogAttrs says nothing of the caller

	Permitted *Permitted // nil: not asked for, or nobody was proven
}

// SignIn is what a new sign-in must meet, where the caller's was not enough.
type SignIn struct {
	AuthContext string        // must be among its authentication contexts; "": none is asked for
	MaxAge      time.Duration // longest time since the user signed in, whole seconds; 0: any
	NotBefore   time.Time     // tokens issued up to this second are refused; zero: none are
	Authority   string        // where claims challenges send the user, such as https://login.microsoftonline.com; "": nowhere
}

// Allowed says whether the caller may.
func (a *Answer) Allowed() bool { return a.Effect == policy.Allow }

// LogAttrs is what a call's log line says of the answer: ids and fixed words.
func (a *Answer) LogAttrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("effect", a.Effect.String()), slog.String("reason", a.Reason.String()),
		slog.Uint64("revision", a.Revision), slog.String("api", a.API), slog.String("route", a.Route),
	}
	if a.Caller != nil && !a.anonymous {
		attrs = append(attrs, slog.String("principal", a.Caller.Principal.ObjectID))
	}
	return attrs
}
