package entra

import "time"

// keySet is what one successful refresh found, with the keys that it found no more. It is immutable and replaced whole.
type keySet struct {
	discovery *discovery
	keys      map[string]*signingKey
	fetchedAt time.Time
	// retired has those of keys that the last document did not hold, and when one last did.
	retired map[string]time.Time

	configuration document // of the OpenID configuration
	published     document // of the keys
}

// find is the key of that id; nil when the set has none, or has it only because it was published until long ago.
func (k *keySet) find(kid []byte, now time.Time, longest time.Duration) *signingKey {
	key := k.keys[string(kid)]
	if key == nil || len(k.retired) == 0 {
		return key
	}
	if last, retired := k.retired[string(kid)]; retired && now.Sub(last) > longest {
		return nil
	}
	return key
}

// retire takes over the keys of old that the new document does not hold, each until longest after it was last published.
func (k *keySet) retire(old *keySet, longest time.Duration) {
	for kid, key := range old.keys {
		last, retired := old.retired[kid]
		if !retired {
			last = old.fetchedAt
		}
		if k.keys[kid] != nil || len(k.keys) >= maxKeys || k.fetchedAt.Sub(last) > longest {
			continue
		}
		if k.retired == nil {
			k.retired = make(map[string]time.Time)
		}
		k.keys[kid], k.retired[kid] = key, last
	}
}

// count is how many keys verify now.
func (k *keySet) count(now time.Time, longest time.Duration) int {
	n := len(k.keys)
	for _, last := range k.retired {
		if now.Sub(last) > longest {
			n--
		}
	}
	return n
}
