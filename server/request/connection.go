package request

import "strings"

// connection reads the options of a Connection field: names of other fields that end at this hop (RFC 9110 §7.6.1). One
// that names a guarded field would have it dropped after the decision; "Connection: x-http-method-override" changes the
// verb again.
func (h *headerReader) connection(value string) Fault {
	for rest, more := value, true; more; {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		option = strings.Trim(option, " \t")
		if option == "" { // RFC 9110 §5.6.1.2: recipients ignore empty elements
			continue
		}
		k, _, ok := kindOf(option)
		switch {
		case !ok || k == kindPseudo:
			return faultConnectionValue
		case k.guarded():
			return faultConnectionGuarded
		case k == kindUpgrade:
			h.upgradeIsNamed = true
		}
	}
	return faultNone
}

// upgrade reads the protocol that the caller asks to switch to. A list or a version leaves the choice to the backend.
func (h *headerReader) upgrade(value string) Fault {
	if h.upgrades++; h.upgrades > 1 || value == "" {
		return faultUpgradeValue
	}
	for i := range len(value) {
		if byteClass[value[i]]&inToken == 0 {
			return faultUpgradeValue
		}
	}
	h.c.Upgrade = lowerASCII(value)
	return faultNone
}
