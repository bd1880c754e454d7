package policy

import (
	"hash/maphash"
	"strings"

	"github.com/verdict-authz/verdict/server/request"
)

// seed is of the process: hashes are neither stored nor compared across processes, and a caller cannot aim at them.
var seed = maphash.MakeSeed()

// trie finds the route of a path. Nodes and edges are numbers in flat arrays so that a lookup touches few cache lines
// however many routes there are: an edge for each literal segment, the child's node for each parameter.
type trie struct {
	nodes  []node // nodes[0] is the root
	edges  []edge // open addressing, a power of two long; a zero child is a free place
	text   string // the literals, each once
	leaves []leaf // leaves[0] stands for none
}

// node is a place in the trie. Its fields are indexes, 0: none; the root is nobody's child.
type node struct {
	typed    [2]uint32 // child by {x:int}, {x:uuid}
	plain    uint32    // child by {x}
	tail     uint32    // leaf of {x...}
	end      uint32    // leaf of a path that ends here
	slash    uint32    // leaf of a path that ends here in a slash
	methods  request.Method
	literals bool // some edge leaves from here
}

// edge leads from a node to a child by a literal segment, text[at:at+size].
type edge struct {
	parent, child uint32
	at, size      uint32
}

// leaf is a route that ends at some node; next has the same shape and other methods.
type leaf struct {
	route   *CompiledRoute
	next    uint32
	methods request.Method
}

// match finds the route for a path; values has room for its parameters.
func (t *trie) match(m request.Method, path string, values *[maxParams]string) *CompiledRoute {
	if m == 0 || path == "" || path[0] != '/' {
		return nil
	}
	if path == "/" {
		return t.leaf(t.nodes[0].end, m)
	}
	return t.find(0, m, path, 1, values, 0)
}

// find goes on at node n with the segment that begins at path[at]; set is how many values are. The values that a search
// leaves behind when it takes a step back are written over. (The arguments are not one struct, which would make the
// compiler move it and the values to the heap.)
func (t *trie) find(n uint32, m request.Method, path string, at int, values *[maxParams]string, set int) *CompiledRoute {
	nd := &t.nodes[n]
	if nd.methods&m != m {
		return nil
	}
	rest := path[at:]
	seg := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		seg = rest[:i]
	}
	if seg == "" {
		return nil
	}
	end := at + len(seg)
	if nd.literals {
		if c := t.child(n, seg); c != 0 {
			if r := t.follow(c, m, path, end, values, set); r != nil {
				return r
			}
		}
	}
	if set == maxParams {
		return nil
	}
	values[set] = seg
	if c := nd.typed[0]; c != 0 && isInt(seg) {
		if r := t.follow(c, m, path, end, values, set+1); r != nil {
			return r
		}
	}
	if c := nd.typed[1]; c != 0 && isUUID(seg) {
		if r := t.follow(c, m, path, end, values, set+1); r != nil {
			return r
		}
	}
	if nd.plain != 0 {
		if r := t.follow(nd.plain, m, path, end, values, set+1); r != nil {
			return r
		}
	}
	if nd.tail != 0 && rest[len(rest)-1] != '/' && !strings.Contains(rest, "//") {
		values[set] = rest
		return t.leaf(nd.tail, m)
	}
	return nil
}

// follow goes on at node n, end being where the segment that led there ends.
func (t *trie) follow(n uint32, m request.Method, path string, end int, values *[maxParams]string, set int) *CompiledRoute {
	switch len(path) - end {
	case 0:
		return t.leaf(t.nodes[n].end, m)
	case 1:
		return t.leaf(t.nodes[n].slash, m)
	default:
		return t.find(n, m, path, end+1, values, set)
	}
}

// leaf returns the first route from l on that answers all of the methods.
func (t *trie) leaf(l uint32, m request.Method) *CompiledRoute {
	for l != 0 {
		lf := &t.leaves[l]
		if lf.methods&m == m {
			return lf.route
		}
		l = lf.next
	}
	return nil
}

// child is where the literal seg leads from n, 0: nowhere.
func (t *trie) child(n uint32, seg string) uint32 {
	mask := uint64(len(t.edges) - 1) //nolint:gosec // G115: a length is not negative
	for i := edgeHash(n, seg) & mask; ; i = (i + 1) & mask {
		e := &t.edges[i]
		if e.child == 0 {
			return 0
		}
		if e.parent == n && int(e.size) == len(seg) && t.text[e.at:e.at+e.size] == seg {
			return e.child
		}
	}
}

func edgeHash(n uint32, seg string) uint64 {
	return maphash.String(seed, seg) ^ uint64(n)*0x9e3779b97f4a7c15
}
