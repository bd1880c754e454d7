package envoy

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed envoy.yaml
var shipped string

// Ports are the ports of the configuration on 127.0.0.1. The zero value means those of the shipped file.
type Ports struct {
	Edge    int // where Envoy listens; 0 means 7310
	Verdict int // where verdict answers Envoy; 0 means 7300
	Backend int // the API behind Envoy; 0 means 7311
}

// Config returns the shipped configuration with p in place of its ports.
func Config(p Ports) (string, error) {
	var pairs []string
	for _, port := range []struct{ shipped, wanted int }{{7310, p.edge()}, {7300, p.Verdict}, {7311, p.Backend}} {
		old := "port_value: " + strconv.Itoa(port.shipped) + " "
		if n := strings.Count(shipped, old); n != 1 {
			return "", fmt.Errorf("envoy.yaml has %q %d times, not once", old, n)
		}
		if port.wanted < 0 || port.wanted > 65535 {
			return "", fmt.Errorf("port %d: out of range", port.wanted)
		}
		if port.wanted != 0 {
			pairs = append(pairs, old, "port_value: "+strconv.Itoa(port.wanted)+" ")
		}
	}
	return strings.NewReplacer(pairs...).Replace(shipped), nil
}

func (p Ports) edge() int {
	if p.Edge == 0 {
		return 7310
	}
	return p.Edge
}
