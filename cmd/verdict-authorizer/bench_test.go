//go:build linux

package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// BenchmarkLambda is what the function costs as a process, beside programs that do the least that can be done, in the same run
// and in turns with them. `make bench-lambda` runs it.
func BenchmarkLambda(b *testing.B) {
	dir := b.TempDir()
	shipped, zipped := pack(b, dir)
	empty := compile(b, filepath.Join(dir, "empty"), "testdata/empty", "-tags", "lambda.norpc")
	bare := compile(b, filepath.Join(dir, "bare"), "testdata/bare", "-tags", "grpcnotrace")

	// From the start of the process to its first call of the runtime API.
	b.Run("start", func(b *testing.B) {
		feed, target := startFeed(b), startStub(b, nil)
		programs := []string{shipped, empty}
		took := make([][]float64, len(programs))
		for b.Loop() {
			for i, program := range programs {
				began := time.Now()
				p := launch(b, program, feed, target)
				took[i] = append(took[i], float64(feed.polled(b).Sub(began).Microseconds())/1000)
				p.end()
			}
		}
		ours, least := median(took[0]), median(took[1])
		b.ReportMetric(ours, "authorizer_ms")
		b.ReportMetric(least, "empty_ms")
		b.ReportMetric(ours/least, "start_ratio")
		b.ReportMetric(float64(zipped)/1e6, "zip_mb")
	})

	// CPU of an invocation, beside that of the question alone.
	b.Run("warm", func(b *testing.B) {
		const each = 100 // of a turn
		var asked firstQuestion
		feed, target := startFeed(b), startStub(b, &asked)
		ours := launch(b, shipped, feed, target)
		event := tokenEvent("/orders/1")
		feed.polled(b)
		feed.invoke(b, event, each) // connections, pools and the heap are as they stay
		question := filepath.Join(dir, "question")
		if err := os.WriteFile(question, asked.bytes(b), 0o600); err != nil {
			b.Fatal(err)
		}
		least := startBare(b, bare, target, question)
		least.ask(b, each)
		before := []time.Duration{ours.cpu(b), least.cpu(b)}
		turns := 0
		for b.Loop() {
			feed.invoke(b, event, each)
			least.ask(b, each)
			turns++
		}
		per := func(p *process, before time.Duration) float64 {
			return float64((p.cpu(b) - before).Microseconds()) / float64(turns*each)
		}
		invoke, call := per(ours, before[0]), per(&least.process, before[1])
		b.ReportMetric(invoke, "invoke_cpu_us")
		b.ReportMetric(call, "call_cpu_us")
		b.ReportMetric(invoke-call, "warm_cpu_us")
	})
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// pack makes the zips that are shipped, and returns the program in that of this machine and the size of the largest.
func pack(b *testing.B, dir string) (program string, largest int64) {
	b.Helper()
	cmd := exec.Command("go", "run", "./deploy/lambda", "-out", dir, "-limit", "1000000000") // too large a zip is for the figure to tell
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	zips, err := filepath.Glob(filepath.Join(dir, "verdict-authorizer-*.zip"))
	if err != nil || len(zips) != 2 {
		b.Fatalf("packed %v (%v), want one for each of two architectures", zips, err)
	}
	for _, name := range zips {
		info, err := os.Stat(name)
		if err != nil {
			b.Fatal(err)
		}
		largest = max(largest, info.Size())
	}
	r, err := zip.OpenReader(filepath.Join(dir, "verdict-authorizer-"+runtime.GOARCH+".zip"))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	f, err := r.Open("bootstrap")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		b.Fatal(err)
	}
	program = filepath.Join(dir, "bootstrap")
	if err := os.WriteFile(program, data, 0o700); err != nil {
		b.Fatal(err)
	}
	return program, largest
}

// compile builds what the authorizer is compared with, as the authorizer is built.
func compile(b *testing.B, program, folder string, flags ...string) string {
	b.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", program}, append(flags, ".")...)...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v: %s", folder, err, out)
	}
	return program
}

// process is a program under measurement.
type process struct{ cmd *exec.Cmd }

// launch starts a program as Lambda does.
func launch(b *testing.B, program string, feed *feed, target string) *process {
	b.Helper()
	p := &process{exec.Command(program)}
	p.cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + feed.address, "AWS_REGION=eu-central-1", "VERDICT_TARGET=" + target, "VERDICT_PLAINTEXT=true"}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.end)
	return p
}

// end kills it; a second time does nothing.
func (p *process) end() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// tick is the unit of times in /proc: USER_HZ is 100 wherever Go runs on Linux.
const tick = time.Second / 100

// cpu is the time that it has used so far, in user and kernel.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name before it may hold blanks
	user, errUser := strconv.Atoi(fields[11])
	kernel, errKernel := strconv.Atoi(fields[12])
	if errUser != nil || errKernel != nil {
		b.Fatalf("no times in %q", stat)
	}
	return time.Duration(user+kernel) * tick
}

// bareClient is the program of testdata/bare.
type bareClient struct {
	process
	in  io.Writer
	out *bufio.Reader
}

func startBare(b *testing.B, program, target, question string) *bareClient {
	b.Helper()
	c := &bareClient{process: process{exec.Command(program, target, question)}}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.end)
	c.in, c.out = in, bufio.NewReader(out)
	return c
}

func (c *bareClient) ask(b *testing.B, times int) {
	b.Helper()
	_, err := fmt.Fprintln(c.in, times)
	if err != nil {
		b.Fatal(err)
	}
	if said, err := c.out.ReadString('\n'); err != nil || said != fmt.Sprintf("asked %d\n", times) {
		b.Fatalf("the bare client said %q: %v", said, err)
	}
}

// feed is a runtime API that hands out the same event again and again.
type feed struct {
	address string
	polls   chan time.Time
	events  chan []byte
	answers chan []byte
}

// feedPatience is the longest that anything here may take.
const feedPatience = 20 * time.Second

func startFeed(b *testing.B) *feed {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &feed{address: lis.Addr().String(), polls: make(chan time.Time, 1), events: make(chan []byte), answers: make(chan []byte, 1)}
	srv := &http.Server{Handler: f, ReadHeaderTimeout: feedPatience}
	go func() { _ = srv.Serve(lis) }()
	b.Cleanup(func() { _ = srv.Close() })
	return f
}

// ServeHTTP implements http.Handler.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/invocation/next") {
		now := time.Now()
		select {
		case f.polls <- now:
		default: // only the first of a process is waited for
		}
		select {
		case event := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(now.Add(time.Hour).UnixMilli(), 10))
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	if !strings.HasSuffix(r.URL.Path, "/response") {
		body = append([]byte(r.URL.Path+": "), body...)
	}
	w.WriteHeader(http.StatusAccepted)
	f.answers <- body
}

// polled waits for a process to ask for the first time, and says when it did.
func (f *feed) polled(b *testing.B) time.Time {
	b.Helper()
	select {
	case at := <-f.polls:
		return at
	case told := <-f.answers:
		b.Fatalf("the function does not start: %s", told)
	case <-time.After(feedPatience):
		b.Fatal("the function does not start")
	}
	return time.Time{}
}

// invoke lets the function answer an event that many times. Anything but an allow ends the benchmark.
func (f *feed) invoke(b *testing.B, event []byte, times int) {
	b.Helper()
	timeout := time.NewTimer(feedPatience)
	defer timeout.Stop()
	for range times {
		select {
		case f.events <- event:
		case <-timeout.C:
			b.Fatal("the function does not ask for an event")
		}
		select {
		case answer := <-f.answers:
			if !bytes.Contains(answer, []byte(`"Effect":"Allow"`)) {
				b.Fatalf("answered %s", answer)
			}
		case <-timeout.C:
			b.Fatal("the function does not answer")
		}
	}
}

// firstQuestion keeps what verdict was asked first.
type firstQuestion struct {
	once sync.Once
	req  *verdictv1.CheckRequest
}

func (f *firstQuestion) bytes(b *testing.B) []byte {
	b.Helper()
	question, err := proto.Marshal(f.req)
	if err != nil || len(question) == 0 {
		b.Fatalf("no question: %v", err)
	}
	return question
}

// startStub serves a verdict that decides by the policy of the cases.
func startStub(b *testing.B, asked *firstQuestion) (target string) {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	decide := only(orders()).answer
	srv := grpc.NewServer()
	verdictv1.RegisterDecisionServiceServer(srv, &decisionServer{checker: stub(func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		if asked != nil {
			asked.once.Do(func() { asked.req = req })
		}
		return decide(ctx, req)
	})})
	go func() { _ = srv.Serve(lis) }()
	b.Cleanup(srv.Stop)
	return lis.Addr().String()
}

// stub is a checker that remembers nothing: asked would grow with each question.
type stub func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error)

func (s stub) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	return s(ctx, req)
}
