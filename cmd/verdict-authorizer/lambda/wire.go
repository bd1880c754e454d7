package lambda

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// wire is the one connection to the runtime API, kept from call to call. It is no http.Client: there is one call at a time, to
// one address, and the two goroutines that http.Transport has for a connection would have to be woken for each part of each
// call. Use it from one goroutine.
type wire struct {
	address string
	conn    net.Conn // nil: none
	in      *bufio.Reader
	out     *bufio.Writer
}

// reply is a response, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// writeBuffer holds an ordinary answer with its header, so that it is one system call.
const writeBuffer = 8 << 10

// do makes one call, a POST where there is a body, and a second attempt on a new connection where a kept one turns out to be
// closed: the API takes an answer once, so that nothing can happen twice.
func (w *wire) do(ctx context.Context, path string, header http.Header, body []byte, limit int64) (reply, error) {
	kept := w.conn != nil
	got, silent, err := w.call(ctx, path, header, body, limit)
	if err != nil && kept && silent && ctx.Err() == nil {
		got, _, err = w.call(ctx, path, header, body, limit)
	}
	return got, err
}

// call makes one attempt; silent says that nothing came back. A connection that failed is closed.
func (w *wire) call(ctx context.Context, path string, header http.Header, body []byte, limit int64) (got reply, silent bool, err error) {
	if w.conn == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", w.address)
		if err != nil {
			return reply{}, true, err
		}
		w.conn, w.in, w.out = conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, writeBuffer)
	}
	// No timeout but the context's: the next event may be hours away, and the process frozen meanwhile.
	conn := w.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	reusable := false
	defer func() {
		if !stop() || !reusable {
			w.close()
		}
	}()
	if err := w.write(path, header, body); err != nil {
		return reply{}, true, err
	}
	if _, err := w.in.Peek(1); err != nil {
		return reply{}, true, err
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return reply{}, false, err
	}
	defer resp.Body.Close()
	if got.body, err = readAll(resp, limit); err != nil {
		return reply{}, false, err
	}
	got.status, got.header = resp.StatusCode, resp.Header
	reusable = !resp.Close
	return got, false, nil
}

// write sends a request. http.Header.Write lets no value begin a line of its own; the path is for the caller to escape.
func (w *wire) write(path string, header http.Header, body []byte) error {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	fmt.Fprintf(w.out, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, w.address)
	if body != nil {
		fmt.Fprintf(w.out, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	if err := header.Write(w.out); err != nil {
		return err
	}
	_, _ = w.out.WriteString("\r\n") // Flush tells what went wrong
	_, _ = w.out.Write(body)
	return w.out.Flush()
}

// readAll reads a body that is at most limit long.
func readAll(resp *http.Response, limit int64) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 && n <= limit {
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return body, err
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}
