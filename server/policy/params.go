package policy

// Params are the parameters of a matched path. It allocates nothing; values are parts of the path that was matched. The
// zero value is empty.
type Params struct {
	names  []string // of the route, in order; shared with the snapshot
	values [maxParams]string
}

// Len is how many parameters there are.
func (p *Params) Len() int { return len(p.names) }

// Name is the name of the i-th parameter, without its form; 0 <= i < Len.
func (p *Params) Name(i int) string { return p.names[i] }

// Value is the value of the i-th parameter, as it stands in the path; 0 <= i < Len.
func (p *Params) Value(i int) string { return p.values[:len(p.names)][i] }

// Get finds a parameter by name.
func (p *Params) Get(name string) (value string, ok bool) {
	for i, n := range p.names {
		if n == name {
			return p.values[i], true
		}
	}
	return "", false
}

// Reset empties p and lets go of the path.
func (p *Params) Reset() {
	clear(p.values[:])
	p.names = nil
}
