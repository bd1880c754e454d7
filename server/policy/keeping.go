package policy

// Keeping is what an api asks for its decision records. The zero value leaves it to the server.
type Keeping struct {
	Durability Durability
	OnFailure  OnAuditFailure
}

// Durability is what an answer promises about its record; its numbers are those of verdict.v1.AuditDurability.
type Durability uint8

// The promises, weakest first.
const (
	DurabilityDefault Durability = iota // as the server is configured
	DurabilitySpool                     // written to the spool: survives a crash of the process
	DurabilityStrict                    // on disk: survives a loss of power
	DurabilitySyncDB                    // committed in the store
)

// OnAuditFailure is what becomes of a decision that cannot be recorded; its numbers are those of verdict.v1.OnAuditFailure.
type OnAuditFailure uint8

// What can become of it.
const (
	OnAuditFailureDefault OnAuditFailure = iota // as the server is configured
	OnAuditFailureDeny                          // it is denied
	OnAuditFailureCount                         // it stands, and its record is counted as lost
)
