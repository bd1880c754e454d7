package policy

import "strings"

// trieBuilder makes a trie, route by route. Routes are best added in the order of their templates, which lays neighbours
// side by side.
type trieBuilder struct {
	trie
	literals map[literalStep]uint32 // to the child
	words    map[string]uint32      // to the place in text
	text     strings.Builder
}

type literalStep struct {
	parent uint32
	text   string
}

func newTrieBuilder() *trieBuilder {
	return &trieBuilder{
		trie:     trie{nodes: make([]node, 1), leaves: make([]leaf, 1)},
		literals: map[literalStep]uint32{},
		words:    map[string]uint32{},
	}
}

// add puts r into the trie, or returns the route it ties with.
func (b *trieBuilder) add(r *CompiledRoute, t *template) (tie *CompiledRoute) {
	path := make([]uint32, 1, len(t.segments)+1) // the nodes gone through, from the root
	var at *uint32                               // where the leaf belongs
	for _, s := range t.segments {
		n := path[len(path)-1]
		if s.kind == tailSegment {
			at = &b.nodes[n].tail
			break
		}
		path = append(path, b.step(n, s))
	}
	last := &b.nodes[path[len(path)-1]]
	switch {
	case at != nil:
	case t.slash:
		at = &last.slash
	default:
		at = &last.end
	}
	for l := *at; l != 0; l = b.leaves[l].next {
		if b.leaves[l].methods&r.methods != 0 {
			return b.leaves[l].route
		}
	}
	b.leaves = append(b.leaves, leaf{route: r, methods: r.methods, next: *at})
	*at = index(len(b.leaves) - 1)
	for _, n := range path {
		b.nodes[n].methods |= r.methods
	}
	return nil
}

// step returns the child of n by s, making it if need be.
func (b *trieBuilder) step(n uint32, s segment) uint32 {
	if s.kind == literalSegment {
		key := literalStep{n, s.text}
		c, ok := b.literals[key]
		if !ok {
			c = b.node()
			b.literals[key] = c
			b.nodes[n].literals = true
		}
		return c
	}
	if c := *b.param(n, s.kind); c != 0 {
		return c
	}
	c := b.node() // may move the nodes, so the place is looked up again
	*b.param(n, s.kind) = c
	return c
}

// param is where n keeps its child by a parameter.
func (b *trieBuilder) param(n uint32, kind segmentKind) *uint32 {
	switch nd := &b.nodes[n]; kind {
	case intSegment:
		return &nd.typed[0]
	case uuidSegment:
		return &nd.typed[1]
	default:
		return &nd.plain
	}
}

func (b *trieBuilder) node() uint32 {
	b.nodes = append(b.nodes, node{})
	return index(len(b.nodes) - 1)
}

// build ends the making. At most half of the places for edges are taken, so that a search for what is not there is short.
func (b *trieBuilder) build() *trie {
	size := 2
	for size < 2*len(b.literals) {
		size *= 2
	}
	b.edges = make([]edge, size)
	mask := uint64(size - 1) //nolint:gosec // G115: a length is not negative
	for key, child := range b.literals {
		at, ok := b.words[key.text]
		if !ok {
			at = index(b.text.Len())
			b.words[key.text] = at
			b.text.WriteString(key.text)
		}
		i := edgeHash(key.parent, key.text) & mask
		for b.edges[i].child != 0 {
			i = (i + 1) & mask
		}
		b.edges[i] = edge{parent: key.parent, child: child, at: at, size: index(len(key.text))}
	}
	b.trie.text = b.text.String()
	t := b.trie
	return &t
}

// index narrows a length that limits of the policy keep far below 2^32.
func index(n int) uint32 { return uint32(n) } //nolint:gosec // see above
