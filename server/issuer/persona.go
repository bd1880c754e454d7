package issuer

// Names of the local world, fixed so that policies, guides and tests can spell them out.
const (
	DevTenant   = "11111111-1111-4111-8111-111111111111"
	DevAudience = "22222222-2222-4222-8222-222222222222" // client id of the orders api
	DevClient   = "33333333-3333-4333-8333-333333333333" // application that users sign in with
	DevScope    = "Orders.Access"                        // delegated scope that users' tokens carry

	GroupReaders = "aaaaaaaa-0001-4000-8000-000000000001" // orders-readers
	GroupWriters = "aaaaaaaa-0002-4000-8000-000000000002" // orders-writers

	AliceID       = "bbbbbbbb-0001-4000-8000-000000000001"
	BobID         = "bbbbbbbb-0002-4000-8000-000000000002"
	MalloryID     = "bbbbbbbb-0003-4000-8000-000000000003"
	NightlyID     = "cccccccc-0001-4000-8000-000000000001" // service principal
	NightlyClient = "dddddddd-0001-4000-8000-000000000001"

	RoleReadAll = "Orders.Read.All" // app role of nightly
)

// Kind tells users from applications.
type Kind string

// The kinds of personas.
const (
	User Kind = "user"
	App  Kind = "app"
)

// Persona is somebody that tokens are minted for.
type Persona struct {
	Name        string // what ?user= or ?app= says: letters, digits, '.', '_' and '-'
	Kind        Kind
	DisplayName string
	ObjectID    string   // of the user or of the app's service principal
	ClientID    string   // of a user: the application used; of an app: its own
	Groups      []string // object ids
	Roles       []string // app roles
	Scopes      []string // delegated scopes; users only
	Audience    string   // of tokens when the request names none
}

// Defaults are the personas of `verdict dev`: alice reads and writes orders, bob reads them, mallory is in no group, and
// nightly is an application that may read all orders.
func Defaults() []Persona {
	user := func(name, display, id string, groups ...string) Persona {
		return Persona{Name: name, Kind: User, DisplayName: display, ObjectID: id, ClientID: DevClient,
			Groups: groups, Scopes: []string{DevScope}, Audience: DevAudience}
	}
	return []Persona{
		user("alice", "Alice Adams", AliceID, GroupReaders, GroupWriters),
		user("bob", "Bob Brown", BobID, GroupReaders),
		user("mallory", "Mallory Moore", MalloryID),
		{Name: "nightly", Kind: App, DisplayName: "Nightly export", ObjectID: NightlyID, ClientID: NightlyClient,
			Roles: []string{RoleReadAll}, Audience: DevAudience},
	}
}
