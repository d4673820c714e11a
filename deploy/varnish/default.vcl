# Varnish 6.0 or newer in front of lipstream: a crowd of any size costs the origin one request for
# each part. Every line is here because of something that was seen to go wrong without it.
#
#   varnishd -a :6081 -f /etc/varnish/default.vcl -s malloc,256m \
#       -p thread_pool_min=50 -p thread_pool_max=150 -p thread_queue_limit=20000 \
#       -p timeout_linger=0
#
# Threads are capped: 5,000 viewers woken at once by 5,000 threads wait for the scheduler (p99 1.6 s;
# with the cap 0.14 s). The queue must be long then: with its default of 20 requests are dropped.
# And no thread may linger: by default each stays 50 ms with a viewer it has answered, in case he
# asks again at once. Players take a little longer, and 2,000 of them missed most parts (p99 2 s);
# without lingering none (0.16 s).
#
# TLS and HTTP/2, which Apple's low latency asks for, end before it, in HAProxy, Caddy or hitch.
# Set HAProxy's `option http-no-delay` (227 ms -> 17 ms to the first byte).

vcl 4.1;

import std;

backend lipstream {
    .host = "127.0.0.1";
    .port = "8000";
    # The longest hold is three target durations: 6 s by default, 30 s at the longest segments.
    .first_byte_timeout = 35s;
    .between_bytes_timeout = 10s;
    .max_connections = 1000;
}

sub vcl_recv {
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
    # Pages, API, uploads and events are not for a cache.
    if (req.url !~ "^/live/" || (req.method != "GET" && req.method != "HEAD")
        || req.http.Authorization) {
        return (pass);
    }
    # 70: HEAD never blocks, but Varnish would make a GET of it, which may.
    if (req.method == "HEAD") {
        return (pass);
    }
    # The media are the same for all: no cookie decides anything.
    unset req.http.Cookie;
    # What does not change the answer must not make another object, else anybody could have the
    # origin hold a request of his own by adding a parameter.
    if (req.url ~ "^[^?]*\.m3u8\?") {
        set req.url = regsuball(req.url, "(?<=[?&])(?!_HLS_(msn|part|skip)=)[^&]*", "");
        set req.url = regsuball(req.url, "&{2,}", "&");
        set req.url = regsub(req.url, "\?&", "?");
        set req.url = regsub(req.url, "[?&]$", "");
        set req.url = std.querysort(req.url);
    } else {
        set req.url = regsub(req.url, "\?.*", "");
    }
    return (hash);
}

sub vcl_hash {
    # Not the Host: the streams are the same under every name, and a name is free to invent.
    hash_data(req.url);
    return (lookup);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}

sub vcl_backend_response {
    # The default grace would serve playlists that are seconds old.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.uncacheable || bereq.url !~ "^/live/") {
        set beresp.do_stream = true;  # events must come as they come
        return (deliver);
    }
    unset beresp.http.Set-Cookie;
    # Complete parts only: with capped threads a streamed body holds a thread for each reader.
    set beresp.do_stream = false;
    if (beresp.status == 503) {
        # All who waited get it, instead of each waiting six seconds again, one after another.
        set beresp.ttl = 200ms;
    } elsif (beresp.status >= 400) {
        # A part that is not there yet is there in a moment. If its 404 were kept, anybody could
        # keep it from all viewers by asking for it too early.
        set beresp.ttl = 10ms;
    } elsif (bereq.url ~ "\.m3u8$") {
        # Without directives: as fresh as the next part.
        set beresp.ttl = 200ms;
    }
    return (deliver);
}

sub vcl_backend_error {
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Retry-After = "1";
    set beresp.ttl = 200ms;
    set beresp.grace = 0s;
    synthetic({"{"title": "Service Unavailable", "status": 503, "detail": "the origin is away" }"});
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}
