package request

// The faults. Limits come first because they are looked at first.
const (
	faultNone Fault = iota

	faultPathLength
	faultQueryLength
	faultSegmentCount
	faultParameterCount
	faultHeaderCount
	faultHeaderBytes

	faultMethod
	faultMethodConnect

	faultHostCharacter
	faultHostLabel
	faultHostLength
	faultHostPort
	faultHostAddress
	faultHostPunycode

	faultTargetForm
	faultFragment
	faultPathControl
	faultPathNotASCII
	faultPathBackslash
	faultPathSemicolon
	faultPathCharacter
	faultEmptySegment
	faultDotSegment
	faultSegmentSpace
	faultEscapeMalformed
	faultEscapeLower
	faultEscapedSeparator
	faultEscapedPercent
	faultEscapedControl
	faultEscapedNotASCII
	faultEscapeNeedless
	faultDecodedPercent
	faultDecodedQuery
	faultQueryCharacter

	faultHeaderName
	faultHeaderValue
	faultPseudoUnknown
	faultPseudoProtocol
	faultPseudoRepeated
	faultPseudoScheme
	faultMethodDiffers
	faultPathDiffers
	faultHostDiffers
	faultHostRepeated
	faultHeaderAlias
	faultHeaderReserved
	faultOriginalURL
	faultOverride
	faultOverrideDiffers
	faultConnectionValue
	faultConnectionGuarded
	faultUpgradeValue
	faultUpgradeLone

	faultAuthorizationRepeated
	faultAuthorizationList
)

// faultTexts are fixed and hold nothing of the input: they are answered to callers and kept in decision records.
// docs/requests.md explains each; a test compares the two.
var faultTexts = [...]string{
	faultNone: "",

	faultPathLength:     "path: longer than 8192 bytes",
	faultQueryLength:    "query: longer than 16384 bytes",
	faultSegmentCount:   "path: more than 1024 segments",
	faultParameterCount: "query: more than 1024 parameters",
	faultHeaderCount:    "headers: more than 256",
	faultHeaderBytes:    "headers: more than 96 KiB",

	faultMethod:        "method: not known",
	faultMethodConnect: "method: CONNECT has no path",

	faultHostCharacter: "host: character that no host name has",
	faultHostLabel:     "host: empty, too long or hyphenated label",
	faultHostLength:    "host: longer than 253 characters",
	faultHostPort:      "host: port",
	faultHostAddress:   "host: address instead of a name",
	faultHostPunycode:  "host: malformed international label",

	faultTargetForm:       "target: does not start with a slash",
	faultFragment:         "target: fragment",
	faultPathControl:      "path: control byte",
	faultPathNotASCII:     "path: byte outside ASCII",
	faultPathBackslash:    "path: backslash",
	faultPathSemicolon:    "path: semicolon",
	faultPathCharacter:    "path: character that must be escaped",
	faultEmptySegment:     "path: empty segment",
	faultDotSegment:       "path: dot segment",
	faultSegmentSpace:     "path: space at the edge of a segment",
	faultEscapeMalformed:  "path: malformed percent escape",
	faultEscapeLower:      "path: lower-case percent escape",
	faultEscapedSeparator: "path: escaped separator",
	faultEscapedPercent:   "path: escaped percent sign",
	faultEscapedControl:   "path: escaped control byte",
	faultEscapedNotASCII:  "path: escaped byte outside ASCII",
	faultEscapeNeedless:   "path: escape of a character that stands for itself",
	faultDecodedPercent:   "path: percent sign in a decoded path",
	faultDecodedQuery:     "path: question mark in a decoded path",
	faultQueryCharacter:   "query: character that must be escaped",

	faultHeaderName:        "header: malformed name",
	faultHeaderValue:       "header: control character or malformed UTF-8 in a value",
	faultPseudoUnknown:     "header: unknown pseudo header",
	faultPseudoProtocol:    "header: extended CONNECT",
	faultPseudoRepeated:    "header: repeated pseudo header",
	faultPseudoScheme:      "header: scheme is neither http nor https",
	faultMethodDiffers:     "header: :method is not the method",
	faultPathDiffers:       "header: :path is not the target",
	faultHostDiffers:       "header: host or :authority is not the host",
	faultHostRepeated:      "header: repeated host",
	faultHeaderAlias:       "header: underscore alias of a guarded name",
	faultHeaderReserved:    "header: x-verdict- name from a client",
	faultOriginalURL:       "header: names another URL",
	faultOverride:          "header: method override with an unknown method",
	faultOverrideDiffers:   "header: method overrides differ",
	faultConnectionValue:   "connection: malformed list",
	faultConnectionGuarded: "connection: names a guarded header",
	faultUpgradeValue:      "upgrade: not one protocol name",
	faultUpgradeLone:       "upgrade: not named by connection",

	faultAuthorizationRepeated: "authorization: more than one",
	faultAuthorizationList:     "authorization: holds a comma",
}

// String is the fault's fixed text, such as "path: dot segment"; "" for no fault. It is safe to show and to log.
func (f Fault) String() string {
	if int(f) < len(faultTexts) {
		return faultTexts[f]
	}
	return "request: malformed"
}

// Ambiguous says that the credential is what has two meanings: several Authorization values. Its reason is
// HEADER_AMBIGUOUS, that of every other fault REQUEST_MALFORMED.
func (f Fault) Ambiguous() bool {
	return f == faultAuthorizationRepeated || f == faultAuthorizationList
}

// Faults returns every fault of the closed list, ascending.
func Faults() []Fault {
	all := make([]Fault, 0, len(faultTexts)-1)
	for i := 1; i < len(faultTexts); i++ {
		all = append(all, Fault(i))
	}
	return all
}
