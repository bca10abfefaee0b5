package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// peer is a reverse proxy to compare with: the same kind of certificate (ECDSA
// P-256), TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, kept-alive connections to the
// home, no access log, one worker or thread for each core.
type peer struct {
	name, program string
	config        string
	args          func(config string) []string
}

// peers are the proxies that Debian packages. The verbs in the configurations are
// work folder, port, upstream and certificate, in the order of configure.
var peers = []peer{
	{"nginx", "nginx", nginxConfig, func(c string) []string { return []string{"-c", c, "-e", "stderr"} }},
	{"HAProxy", "haproxy", haproxyConfig, func(c string) []string { return []string{"-db", "-f", c} }},
	{"Caddy", "caddy", caddyConfig, func(c string) []string { return []string{"run", "--adapter", "caddyfile", "--config", c} }},
}

const nginxConfig = `daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s/nginx-body; proxy_temp_path %[1]s/nginx-proxy;
	fastcgi_temp_path %[1]s/nginx-f; uwsgi_temp_path %[1]s/nginx-u; scgi_temp_path %[1]s/nginx-s;
	keepalive_requests 1000000;
	upstream home { server %[3]s; keepalive 64; keepalive_requests 1000000; }
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	server {
		listen 127.0.0.1:%[2]d ssl http2;
		server_name localhost;
		ssl_certificate %[4]s; ssl_certificate_key %[4]s;
		ssl_protocols TLSv1.2 TLSv1.3;
		location / {
			proxy_pass http://home;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Proto https;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_buffering off;
			proxy_read_timeout 300s;
		}
	}
}
`

const haproxyConfig = `global
	maxconn 4096
defaults
	mode http
	timeout connect 5s
	timeout client 300s
	timeout server 300s
	timeout tunnel 300s
frontend https
	bind 127.0.0.1:%[2]d ssl crt %[4]s alpn h2,http/1.1
	http-request set-header X-Forwarded-Proto https
	option forwardfor
	default_backend home
backend home
	http-reuse always
	server home %[3]s
`

const caddyConfig = `{
	admin off
	auto_https off
	storage file_system %[1]s/caddy
}
https://localhost:%[2]d {
	bind 127.0.0.1
	tls %[4]s %[4]s
	reverse_proxy %[3]s
}
`

// configure writes a peer's configuration and returns its file.
func (p peer) configure(dir string, port int, upstream, certificate string) (string, error) {
	file := filepath.Join(dir, p.program+".conf")
	text := fmt.Sprintf(p.config+"%[5]s", dir, port, upstream, certificate, "")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// makeCertificate writes a self-signed leaf for localhost and its key to one PEM
// file, of the kind that the gateway's own authority issues.
func makeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	return os.WriteFile(file, text, 0o600)
}
