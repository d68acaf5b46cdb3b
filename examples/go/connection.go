package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// settings say where refresh-svc is, and what names this caller.
type settings struct {
	// `host:port`, or `dns:///host:port`.
	address string
	// Paths of the CA certificate of refresh-svc's certificate, and of one's own certificate and
	// key, PEM.
	authority, certificate, key string
	// Path of a Kubernetes service account's token; only if `CALLERS_BY` is not `certificate`.
	tokenFile string
}

// connect returns the connection that a process keeps for all of its calls.
func connect(s settings) (*grpc.ClientConn, error) {
	authority, err := os.ReadFile(s.authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificate", s.authority)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: roots,
			// Each connection reads the files, so that renewed ones are used.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
				return &pair, err
			},
		})),
		// Calls are distributed over all addresses of the name.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
	}
	if s.tokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(serviceAccount(s.tokenFile)))
	}
	return grpc.NewClient(s.address, options...)
}

// serviceAccount is the path of a token that is sent with each call.
type serviceAccount string

func (file serviceAccount) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	// Kubernetes replaces the file before the token expires, so each call reads it.
	token, err := os.ReadFile(string(file))
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, err
}

func (serviceAccount) RequireTransportSecurity() bool { return true }
