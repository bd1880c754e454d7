package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/export/files"
	"github.com/verdict-authz/verdict/server/audit/export/kafka"
	"github.com/verdict-authz/verdict/server/audit/export/otlp"
	"github.com/verdict-authz/verdict/server/secret"
)

// exportFlags say where decision records go beside the store. docs/audit-export.md.
type exportFlags struct {
	ExportStart string `default:"now" enum:"now,beginning" help:"Where an exporter begins the first time: with what is recorded from then on, or the oldest record."`

	ExportOTLPEndpoint  string     `name:"export-otlp-endpoint" help:"URL of a collector that takes OTLP logs. None: not exported there." placeholder:"URL"`
	ExportOTLPProtocol  string     `name:"export-otlp-protocol" default:"http/protobuf" enum:"http/protobuf,grpc" help:"How OTLP travels."`
	ExportOTLPHeaders   secret.Ref `name:"export-otlp-headers" help:"Secret: lines of 'name: value' that each request has." placeholder:"REF"`
	ExportOTLPTLSCA     string     `name:"export-otlp-tls-ca" help:"PEM certificates trusted for it instead of the system's." placeholder:"FILE"`
	ExportOTLPTLSCert   string     `name:"export-otlp-tls-cert" help:"PEM certificate chain shown to it." placeholder:"FILE"`
	ExportOTLPTLSKey    string     `name:"export-otlp-tls-key" help:"PEM private key of it." placeholder:"FILE"`
	ExportOTLPPlaintext bool       `name:"export-otlp-plaintext" help:"Allow http:// beyond this machine."`

	ExportFiles      string `help:"Folder for JSON lines, packed with zstd. None: no files." placeholder:"DIR"`
	ExportFilesShape string `default:"native" enum:"native,ocsf" help:"Shape of the lines."`

	ExportKafkaBrokers   []string   `help:"Brokers of Kafka, host:port. None: not exported there." placeholder:"ADDRESS"`
	ExportKafkaTopic     string     `help:"Topic, which exists." placeholder:"TOPIC"`
	ExportKafkaShape     string     `default:"native" enum:"native,ocsf" help:"Shape of the messages."`
	ExportKafkaTLS       bool       `name:"export-kafka-tls" help:"TLS to the brokers."`
	ExportKafkaTLSCA     string     `name:"export-kafka-tls-ca" help:"PEM certificates trusted for them instead of the system's." placeholder:"FILE"`
	ExportKafkaTLSCert   string     `name:"export-kafka-tls-cert" help:"PEM certificate chain shown to them." placeholder:"FILE"`
	ExportKafkaTLSKey    string     `name:"export-kafka-tls-key" help:"PEM private key of it." placeholder:"FILE"`
	ExportKafkaPlaintext bool       `help:"Allow connections without TLS beyond this machine."`
	ExportKafkaSASL      string     `name:"export-kafka-sasl" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. None: no sign-in." placeholder:"MECHANISM"`
	ExportKafkaUser      string     `help:"User to sign in as." placeholder:"USER"`
	ExportKafkaPassword  secret.Ref `help:"Secret: its password." placeholder:"REF"`
}

// Names under which their secrets are read; also what errors call them.
const (
	otlpHeadersFlag   = "--export-otlp-headers"
	kafkaPasswordFlag = "--export-kafka-password"
)

// validate reports settings of exporters that are not asked for: half a setting is none that anybody meant.
func (f *exportFlags) validate() (err error) {
	otlpSet := !f.ExportOTLPHeaders.IsZero() || f.ExportOTLPTLSCA != "" || f.ExportOTLPTLSCert != "" || f.ExportOTLPTLSKey != "" || f.ExportOTLPPlaintext
	if f.ExportOTLPEndpoint == "" && otlpSet {
		err = errors.Join(err, errors.New("--export-otlp-…: they mean nothing without --export-otlp-endpoint"))
	}
	kafkaSet := f.ExportKafkaTopic != "" || f.ExportKafkaTLS || f.ExportKafkaTLSCA != "" || f.ExportKafkaTLSCert != "" || f.ExportKafkaTLSKey != "" ||
		f.ExportKafkaPlaintext || f.ExportKafkaSASL != "" || f.ExportKafkaUser != "" || !f.ExportKafkaPassword.IsZero()
	if len(f.ExportKafkaBrokers) == 0 && kafkaSet {
		err = errors.Join(err, errors.New("--export-kafka-…: they mean nothing without --export-kafka-brokers"))
	}
	return err
}

// sinks makes the sinks, reporting all problems at once. end ends their connections, after the server has stopped.
func (f *exportFlags) sinks(secrets *secret.Set) (all []server.Export, end func() error, err error) {
	var closers []func() error
	end = func() (err error) {
		for _, c := range closers {
			err = errors.Join(err, c())
		}
		return err
	}
	start, err := export.ParseStart(f.ExportStart)
	if err != nil {
		return nil, end, err
	}
	add := func(flag, name string, s sink, sinkErr error) {
		if sinkErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", flag, sinkErr))
			return
		}
		all, closers = append(all, server.Export{Name: name, Sink: s, Start: start}), append(closers, s.Close)
	}
	if f.ExportOTLPEndpoint != "" {
		s, sinkErr := f.otlp(secrets)
		add("--export-otlp-endpoint", "otlp", s, sinkErr)
	}
	if f.ExportFiles != "" {
		s, sinkErr := f.files()
		add("--export-files", "files", s, sinkErr)
	}
	if len(f.ExportKafkaBrokers) > 0 {
		s, sinkErr := f.kafka(secrets)
		add("--export-kafka-brokers", "kafka", s, sinkErr)
	}
	return all, end, err
}

// sink is one that is ended.
type sink interface {
	export.Sink
	Close() error
}

func (f *exportFlags) otlp(secrets *secret.Set) (sink, error) {
	protocol, err := otlp.ParseProtocol(f.ExportOTLPProtocol)
	if err != nil {
		return nil, err
	}
	return otlp.New(otlp.Config{
		Endpoint: f.ExportOTLPEndpoint, Protocol: protocol, Headers: valueOf(secrets, otlpHeadersFlag), Plaintext: f.ExportOTLPPlaintext,
		TLS: export.TLS{CA: f.ExportOTLPTLSCA, Cert: f.ExportOTLPTLSCert, Key: f.ExportOTLPTLSKey}, Version: version(),
	})
}

func (f *exportFlags) files() (sink, error) {
	shape, err := export.ParseShape(f.ExportFilesShape)
	if err != nil {
		return nil, err
	}
	return files.New(files.Config{Dir: f.ExportFiles, Shape: shape})
}

func (f *exportFlags) kafka(secrets *secret.Set) (sink, error) {
	shape, err := export.ParseShape(f.ExportKafkaShape)
	mechanism, mechanismErr := kafka.ParseMechanism(f.ExportKafkaSASL)
	if err = errors.Join(err, mechanismErr); err != nil {
		return nil, err
	}
	return kafka.New(kafka.Config{
		Brokers: f.ExportKafkaBrokers, Topic: f.ExportKafkaTopic, Shape: shape, UseTLS: f.ExportKafkaTLS, Plaintext: f.ExportKafkaPlaintext,
		TLS:  export.TLS{CA: f.ExportKafkaTLSCA, Cert: f.ExportKafkaTLSCert, Key: f.ExportKafkaTLSKey},
		SASL: kafka.SASL{Mechanism: mechanism, User: f.ExportKafkaUser, Password: valueOf(secrets, kafkaPasswordFlag)},
	})
}

// valueOf is a secret as it is when it is asked for; nil when the flag names none.
func valueOf(secrets *secret.Set, flag string) func(context.Context) (secret.Value, error) {
	if s := secrets.Source(flag); s != nil {
		return s.Get
	}
	return nil
}
