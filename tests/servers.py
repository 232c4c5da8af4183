"""Databases and servers under load: what each of them needs to start, its load, and what its
answers must be. On loopback only; they are ended by pid, by the signal that asks them to finish.

`Server` is a Program whose work comes from clients. Only the server is recorded.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import namedtuple

# prepare: called with the directory and the port, before each run. load: called while it runs;
# returns what must be the same each time. stop: the signal that lets it finish in order.
Server = namedtuple('Server', 'name kind command comm prepare load stop')

POSTGRES = max((os.path.join('/usr/lib/postgresql', version, 'bin')
                for version in (os.listdir('/usr/lib/postgresql')
                                if os.path.isdir('/usr/lib/postgresql') else [])), default='')
AS_POSTGRES = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups']


def tool(name):
    return shutil.which(name, path=f'{os.environ["PATH"]}:/usr/sbin:{POSTGRES}') or name


def installed(server):
    return os.access(tool(server.comm), os.X_OK)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def lets_in(comm, port):
    """PostgreSQL listens before it lets anybody in."""
    return comm != 'postgres' or subprocess.run(
        [tool('pg_isready'), '-q', '-h', '127.0.0.1', '-p', str(port)],
        check=False).returncode == 0


def wait_for(port, process, comm, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ChildProcessError(f'the server ended: {process.stderr.read()[-500:]}')
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            if lets_in(comm, port):
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f'nobody listens on port {port}')


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, timeout=600, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        raise ChildProcessError(f'{command}: {done.stderr[-500:]}')
    return done.stdout


def descendants(pid):
    found = []
    try:
        tasks = os.listdir(f'/proc/{pid}/task')
    except FileNotFoundError:   # it has ended meanwhile
        return found
    for task in tasks:
        try:
            with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in children:
            found.append(child)
            found += descendants(child)
    return found


def server_pid(process, comm):
    """The first process of that name among those that `process` started, and itself."""
    for pid in [process.pid, *descendants(process.pid)]:
        try:
            with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                if file.read().strip() == comm[:15]:
                    return pid
        except OSError:
            continue
    raise ChildProcessError(f'{comm} is not running')


# --- the servers -----------------------------------------------------------------------------------

def nothing(_directory, _port):
    pass


def load_redis(_directory, port):
    run('redis-benchmark', '-p', str(port), '-q', '-n', '120000', '-c', '10', '-P', '16', '-t',
        'set,get,lpush,lrange_300,zadd,hset')
    ask = ['redis-cli', '-p', str(port)]
    return b''.join(run(*ask, *words) for words in (
        ['dbsize'], ['llen', 'mylist'], ['lrange', 'mylist', '0', '3'], ['get', 'key:__rand_int__'],
        ['debug', 'digest']))


NGINX = '''
worker_processes 1; daemon off; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; gzip on; gzip_comp_level 5; gzip_types *; default_type text/plain;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port}; root www; }}
}}
'''


def prepare_nginx(directory, port):
    with open(os.path.join(directory, 'nginx.conf'), 'w', encoding='utf-8') as file:
        file.write(NGINX.format(port=port))


def load_nginx(_directory, port):
    url = f'http://127.0.0.1:{port}/index.html'
    said = run('ab', '-n', '30000', '-c', '8', '-k', '-H', 'Accept-Encoding: gzip', url)
    kept = [line for line in said.splitlines()
            if line.startswith((b'Complete requests', b'Failed requests', b'HTML transferred'))]
    return b'\n'.join(kept)


def load_memcached(_directory, port):
    answers = 0
    with socket.create_connection(('127.0.0.1', port)) as connection:
        stream = connection.makefile('rwb')
        for i in range(4000):
            stream.write(b'set key%d 0 0 200 noreply\r\n%0200d\r\n' % (i, i))
        many = b''.join(b'get %s\r\n' % b' '.join(b'key%d' % i for i in range(first, first + 100))
                        for first in range(0, 4000, 100))
        for _ in range(120):
            stream.write(many)
            stream.flush()
            ends = 0
            while ends < 40:
                line = stream.readline()
                ends += line == b'END\r\n'
                answers += len(line)
    return b'%d bytes' % answers


def prepare_postgres(directory, _port):
    data = os.path.join(directory, 'pg')
    shutil.rmtree(data, ignore_errors=True)
    os.mkdir(data, 0o700)
    shutil.chown(data, 'postgres', 'postgres')
    run(*AS_POSTGRES, tool('initdb'), '-D', data, '-A', 'trust', '--no-sync', '--locale=C',
        cwd='/')


def load_postgres(directory, port):
    to = ['-h', '127.0.0.1', '-p', str(port), '-U', 'postgres']
    run(tool('pgbench'), *to, '-i', '-q', '-s', '1', 'postgres')
    run(tool('pgbench'), *to, '-n', '-c', '4', '-t', '1200', '-f',
        os.path.join(directory, 'bench.sql'), 'postgres')
    return run('psql', *to, '-At', '-c', 'select count(*), sum(tbalance) from pgbench_tellers; '
               'select count(*), sum(abalance), max(aid) from pgbench_accounts', 'postgres')


SERVERS = [
    Server('postgres', 'database', lambda d, port: [
        *AS_POSTGRES, tool('postgres'), '-D', os.path.join(d, 'pg'), '-k', '', '-h', '127.0.0.1',
        '-p', str(port), '-c', 'fsync=off', '-c', 'shared_buffers=32MB', '-c', 'jit=off'],
           'postgres', prepare_postgres, load_postgres, signal.SIGINT),
    Server('redis', 'database', lambda d, port: [
        'redis-server', '--bind', '127.0.0.1', '--port', str(port), '--save', '', '--appendonly',
        'no', '--enable-debug-command', 'yes', '--loglevel', 'warning'],
           'redis-server', nothing, load_redis, signal.SIGTERM),
    Server('nginx', 'server', lambda d, port: [
        tool('nginx'), '-p', d, '-e', 'error.log', '-c', os.path.join(d, 'nginx.conf')],
           'nginx', prepare_nginx, load_nginx, signal.SIGQUIT),
    Server('memcached', 'server', lambda d, port: [
        'memcached', '-l', '127.0.0.1', '-p', str(port), '-U', '0', '-t', '2', '-m', '64', '-u',
        'nobody'],
           'memcached', nothing, load_memcached, signal.SIGTERM),
]


def serve(server, directory, port, wrap):
    """One run under load. `wrap` turns the server's command into what is started. Returns the
    finished process, with what the load answered as its output."""
    server.prepare(directory, port)
    process = subprocess.Popen(wrap(server.command(directory, port)), cwd=directory,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    try:
        wait_for(port, process, server.comm)
        answer = server.load(directory, port)
        os.kill(server_pid(process, server.comm), server.stop)
        _, stderr = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            for pid in reversed(descendants(process.pid)):
                os.kill(pid, signal.SIGKILL)
            process.kill()
            process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, answer, stderr)
