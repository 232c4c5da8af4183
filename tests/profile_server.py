"""Servers of profiles for the tests: one that behaves in every way that a server can, and one of Go's.

    with Server(profile_bytes) as server:
        hone('top', server.url('/good'))
"""

import base64
import gzip
import http.server
import os
import socket
import ssl
import subprocess
import threading
import time

GO_PROGRAM = '''package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
)

//go:noinline
func busyWork(n int) (sum int) {
	for i := 0; i < n; i++ {
		sum += i * i % 7
	}
	return
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	go func() {
		for {
			busyWork(1000000)
		}
	}()
	panic(http.Serve(listener, nil))
}
'''


NAMELESS = b'''heap profile: 3: 3072 [4: 4096] @ heap/1048576
1: 1024 [2: 2048] @ 0x401010 0x402020 0x403030
2: 2048 [2: 2048] @ 0x401020 0x402020 0x403030
'''


class GoServer:
    """A Go program with net/http/pprof, built in a directory that the caller owns."""

    def __init__(self, directory):
        source = os.path.join(directory, 'main.go')
        with open(source, 'w', encoding='ascii') as file:
            file.write(GO_PROGRAM)
        program = os.path.join(directory, 'goserver')
        subprocess.run(['go', 'build', '-o', program, source], check=True, cwd=directory,
                       env={**os.environ, 'GO111MODULE': 'off',
                            'GOCACHE': os.path.join(directory, 'cache')})
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Server:
    """Paths are behaviours, see Handler. Counts what it was asked for in `requests`."""

    def __init__(self, profile, certificate=None, client_authority=None):
        outer = self

        class Bound(Handler):
            server_state = outer

        self.profile, self.requests, self.posted = profile, [], []
        self.has_names = True
        self.released = threading.Event()     # lets silent requests go when the test ends
        self.together = threading.Barrier(3)  # three requests must be there at once
        self.httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Bound)
        self.httpd.daemon_threads = True
        self.scheme = 'http'
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_authority:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_authority)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True,
                                                    do_handshake_on_connect=False)
            self.scheme = 'https'
        self.port = self.httpd.server_address[1]
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def url(self, path, scheme=None, user=''):
        return f'{scheme or self.scheme}://{user}127.0.0.1:{self.port}{path}'

    def wait_for(self, path, seconds=60):
        """Until somebody has asked for the path."""
        end = time.monotonic() + seconds
        while not any(asked.split('?')[0] == path for asked in self.requests):
            if time.monotonic() > end:
                raise TimeoutError(f'nobody asked for {path}, only for {self.requests}')
            time.sleep(0.01)

    def close(self):
        self.released.set()
        self.together.abort()
        self.httpd.shutdown()
        self.httpd.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Handler(http.server.BaseHTTPRequestHandler):
    server_state = None
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (OSError, ssl.SSLError):
            pass

    def reply(self, body, status=200, kind='application/octet-stream', headers=(), reason=None):
        self.send_response(status, reason)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.server_state.posted.append((self.path, body))
        if self.server_state.has_names:
            lines = [f'{address} function_at_{address}\n' for address in body.split('+')]
            self.reply(''.join(['num_symbols: 1\n', *lines]).encode(), kind='text/plain')
        else:
            self.reply(b'no names here\n', 404, 'text/plain')

    def do_GET(self):
        state = self.server_state
        state.requests.append(self.path)
        path = self.path.split('?')[0]
        if path in ('/good', '/debug/pprof/profile', '/debug/pprof/heap'):
            self.reply(state.profile)
        elif path.endswith('/nameless'):  # whose functions only the server can name
            self.reply(NAMELESS, kind='text/plain')
        elif path == '/packed':  # the transfer is packed on top of the file
            self.reply(gzip.compress(state.profile), headers=[('Content-Encoding', 'gzip')])
        elif path == '/redirect':
            self.reply(b'elsewhere', 302, 'text/plain', [('Location', '/good')])
        elif path == '/loop':
            self.reply(b'', 302, headers=[('Location', '/loop')])
        elif path == '/away':  # to another protocol
            self.reply(b'', 302, headers=[('Location', 'file:///etc/passwd')])
        elif path == '/busy':
            self.reply(b'profiling is busy\nand more\n', 503, 'text/plain; charset=utf-8',
                       [('X-Go-Pprof', '1')])
        elif path == '/page':
            self.reply(b'<html>please log in</html>', kind='text/html')
        elif path == '/empty':
            self.reply(b'')
        elif path == '/together':
            try:
                state.together.wait(60)
                self.reply(state.profile)
            except threading.BrokenBarrierError:
                self.reply(b'alone\n', 500, 'text/plain')
        elif path == '/silent':
            state.released.wait(600)
            self.close_connection = True
        elif path == '/stalls':
            self.send_response(200)
            self.send_header('Content-Length', str(len(state.profile)))
            self.end_headers()
            self.wfile.write(state.profile[:100])
            self.wfile.flush()
            state.released.wait(600)
            self.close_connection = True
        elif path == '/secret':
            wanted = 'Basic ' + base64.b64encode(b'ann:p@ss').decode()
            if self.headers.get('Authorization') == wanted:
                self.reply(state.profile)
            else:
                self.reply(b'who are you?\n', 401, 'text/plain')
        else:
            self.reply(b'<html>nothing here</html>', 404, 'text/html')


def make_certificates(directory):
    """An authority, a server's certificate for 127.0.0.1 and a client's, all fresh."""
    def run(*arguments):
        subprocess.run(['openssl', *arguments], cwd=directory, check=True, capture_output=True)
    key = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')
    run('req', '-x509', *key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=a')
    for name in ('server', 'client'):
        run('req', *key, '-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}',
            '-addext', 'subjectAltName=IP:127.0.0.1')
        run('x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key',
            '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy', '-out', f'{name}.pem')
    return {name: os.path.join(directory, name)
            for name in ('ca.pem', 'server.pem', 'server.key', 'client.pem', 'client.key')}


def closed_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
