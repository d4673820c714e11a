# Varnish 6.0 or newer in front of lipstream: a crowd of any size costs the origin one request for
# each part. Every line is here because of something that was seen to go wrong without it.
#
#   varnishd -a 127.0.0.1:6081 -f /etc/varnish/default.vcl -s malloc,256m \
#       -p thread_pool_min=50 -p thread_pool_max=150 -p thread_queue_limit=20000 \
#       -p timeout_linger=0 -p send_timeout=30
#
# What a machine changes, and the tests do: the address of the origin, 127.0.0.1 and 8000 below.
#
# Threads are capped: 5,000 viewers woken at once by 5,000 threads wait for the scheduler (p99 1.6 s;
# with the cap 0.14 s). The queue must be long then: with its default of 20 requests are dropped.
# And no thread may linger: by default each stays 50 ms with a viewer it has answered, in case he
# asks again at once. Players take a little longer, and 2,000 of them missed most parts (p99 2 s);
# without lingering none (0.16 s). A client that reads too slowly has a thread to itself for as
# long as it takes: at most half a minute, instead of the usual ten.
#
# TLS and HTTP/2, which Apple's low latency asks for, end before it: deploy/haproxy, deploy/caddy.

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
    if (req.restarts > 0) {
        return (hash);  # the origin takes the token: now for what was asked
    }
    # Ours; what a client says there does not count.
    unset req.http.X-Lipstream-Step;
    unset req.http.X-Lipstream-Token;
    unset req.http.X-Lipstream-Wanted;
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
        if (req.url ~ "[%+]") {
            return (pass);  # a directive in disguise would be taken for another parameter
        }
        # 42: v2 may leave out date ranges too. There are none, so it is the same answer; any other
        # value is answered as if it were not there.
        set req.url = regsuball(req.url, "(?<=[?&])(?!_HLS_((msn|part)=|skip=(YES|v2)(&|$)))[^&]*", "");
        set req.url = regsuball(req.url, "(?<=[?&])_HLS_skip=v2(?=&|$)", "_HLS_skip=YES");
        set req.url = regsuball(req.url, "&{2,}", "&");
        set req.url = regsub(req.url, "\?&", "?");
        set req.url = regsub(req.url, "[?&]$", "");
        set req.url = std.querysort(req.url);
    } else {
        set req.url = regsub(req.url, "\?.*", "");
    }
    # A signed link: the first request of each asks the origin whether it is good, and again after
    # ten seconds. Then the token goes, and all viewers share what is kept.
    if (req.url ~ "^/live/[^/]+/t/") {
        if (req.url !~ "^/live/[a-z0-9][a-z0-9-]{0,62}/t/[A-Za-z0-9_-]{28}(/[A-Za-z0-9][A-Za-z0-9._-]*)+(\?|$)") {
            return (pass);
        }
        set req.http.X-Lipstream-Step = "opens";
        set req.http.X-Lipstream-Token = regsub(req.url, "^/live/[^/]+(/t/[^/]+)/.*$", "\1");
        set req.http.X-Lipstream-Wanted = regsub(req.url, "^(/live/[^/]+)/t/[^/]+", "\1");
        set req.url = regsub(req.url, "^(/live/[^/]+/t/[^/]+)/.*$", "\1/index.m3u8");
    }
    return (hash);
}

sub vcl_hash {
    # Not the Host: the streams are the same under every name, and a name is free to invent.
    hash_data(req.url);
    # Who has no token never meets what is kept for those who have.
    hash_data(req.http.X-Lipstream-Step);
    return (lookup);
}

sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}

sub vcl_backend_fetch {
    # The origin checks again, with the token of him who happens to be first.
    if (bereq.http.X-Lipstream-Step == "token") {
        set bereq.url = regsub(bereq.url, "^(/live/[^/]+)", "\1" + bereq.http.X-Lipstream-Token);
    }
    unset bereq.http.X-Lipstream-Wanted;
}

sub vcl_backend_response {
    # The default grace would serve playlists that are seconds old.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.uncacheable || bereq.url !~ "^/live/") {
        set beresp.do_stream = true;  # events must come as they come
        return (deliver);
    }
    # Complete parts only: with capped threads a streamed body holds a thread for each reader.
    set beresp.do_stream = false;
    unset beresp.http.Set-Cookie;
    if (beresp.status == 503) {
        # All who waited get it, instead of each waiting six seconds again, one after another.
        set beresp.ttl = 200ms;
    } elsif (beresp.http.Cache-Control !~ "(?i)public" || beresp.http.Cache-Control ~ "(?i)no-store") {
        # For nobody else; a token that has expired on the way must not refuse all others.
        set beresp.uncacheable = true;
        set beresp.ttl = 200ms;
    } elsif (beresp.status >= 400) {
        # A part that is not there yet is there in a moment. If its 404 were kept, anybody could
        # keep it from all viewers by asking for it too early.
        set beresp.ttl = 10ms;
    } elsif (bereq.http.X-Lipstream-Step == "opens") {
        # So long after a link has expired may it still open what is kept.
        set beresp.ttl = 10s;
    } elsif (bereq.url ~ "\.m3u8$") {
        # Without directives: as fresh as the next part.
        set beresp.ttl = 200ms;
    } elsif (bereq.url ~ "\.m3u8\?" && beresp.ttl > 1s) {
        # It may be kept for 12 s (63), but all viewers are within a second of each other, and a
        # stream that is started anew on a clock that was set back must not meet answers of its past.
        set beresp.ttl = 1s;
    }
    return (deliver);
}

sub vcl_backend_error {
    set beresp.status = 503;
    set beresp.reason = "Service Unavailable";
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Access-Control-Allow-Origin = "*";
    set beresp.http.Retry-After = "1";
    set beresp.ttl = 200ms;
    set beresp.grace = 0s;
    synthetic({"{"title": "Service Unavailable", "status": 503, "detail": "the origin is away; ask again in a second" }"});  # the space: `"}` would end the string
    return (deliver);
}

sub vcl_deliver {
    if (req.http.X-Lipstream-Step == "opens" && resp.status == 200) {
        set req.http.X-Lipstream-Step = "token";
        set req.url = req.http.X-Lipstream-Wanted;
        return (restart);
    }
    if (resp.http.Age != "0") {
        unset resp.http.Server-Timing;  # how long the first was held is not true of who comes later
    }
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}
