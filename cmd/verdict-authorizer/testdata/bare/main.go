// Command bare asks verdict one question as often as it is told, over gRPC with nothing around it: what the authorizer's CPU is
// measured against. Each line of its input is a number of calls; it answers each with a line.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// run asks target the question that lies in a file, as the authorizer put it.
func run(target, file string) error {
	question, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	req := &verdictv1.CheckRequest{}
	if err := proto.Unmarshal(question, req); err != nil {
		return err
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := verdictv1.NewDecisionServiceClient(conn)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		for range n {
			if err := ask(client, req); err != nil {
				return err
			}
		}
		fmt.Println("asked", n)
	}
	return lines.Err()
}

// ask gives each call a deadline, as anyone would.
func ask(client verdictv1.DecisionServiceClient, req *verdictv1.CheckRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := client.Check(ctx, req)
	if err == nil && resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		err = fmt.Errorf("answered %s", resp.GetEffect())
	}
	return err
}
