"""A kernel that speaks as much of Jupyter's protocol as the tests need, in place of the real one, which is on the net.

It has that one's name and is started like it. Connections are ZeroMQ's, by Debian's library.
"""
module IJulia

using SHA, UUIDs
include("json.jl")
include("zmq.jl")

"""A kernel's sockets, its key, and how many cells it has run."""
mutable struct Kernel
    shell::Ptr{Cvoid}
    control::Ptr{Cvoid}
    heartbeat::Ptr{Cvoid}
    iopub::Ptr{Cvoid}
    key::Vector{UInt8}
    count::Int
end

"""Serve the connection file that is the first argument, until a shutdown is asked for."""
function run_kernel()
    told = parse_json(read(popfirst!(ARGS), String))
    separator = told["transport"] == "ipc" ? "-" : ":"
    at(kind, port) = bound(kind, "$(told["transport"])://$(told["ip"])$separator$(Int(told[port]))")
    kernel = Kernel(at(ROUTER, "shell_port"), at(ROUTER, "control_port"), at(REP, "hb_port"), at(PUB, "iopub_port"),
        Vector{UInt8}(told["key"]), 0)
    at(ROUTER, "stdin_port")
    ccall(:jl_exit_on_sigint, Cvoid, (Cint,), 0)
    while true
        for (socket, is_ready) in zip((kernel.shell, kernel.control), ready([kernel.shell, kernel.control, kernel.heartbeat]))
            is_ready && answer(kernel, socket)
        end
        while ready([kernel.heartbeat])[1]
            transmit(kernel.heartbeat, receive(kernel.heartbeat))
        end
    end
end

function answer(kernel, socket)
    parts = receive(socket)
    mark = findfirst(==(Vector{UInt8}("<IDS|MSG>")), parts)
    head, content = parse_json(String(copy(parts[mark + 2]))), parse_json(String(copy(parts[mark + 5])))
    parent = String(copy(parts[mark + 2]))
    publish(kind, what) = transmit(kernel.iopub, signed(kernel, [Vector{UInt8}(kind)], kind, what, parent))
    publish("status", "{\"execution_state\": \"busy\"}")
    kind = head["msg_type"]
    reply = kind == "execute_request" ? execute(kernel, content, publish) : kind == "kernel_info_request" ? INFO : "{\"status\": \"ok\", \"restart\": false}"
    transmit(socket, signed(kernel, parts[1:mark - 1], replace(kind, "request" => "reply"), reply, parent))
    publish("status", "{\"execution_state\": \"idle\"}")
    kind == "shutdown_request" && exit()
end

const INFO = """{"status": "ok", "protocol_version": "5.3", "implementation": "test", "implementation_version": "0", "banner": "",
    "language_info": {"name": "julia", "version": "$VERSION", "mimetype": "text/x-julia", "file_extension": ".jl"}}"""

function execute(kernel, content, publish)
    kernel.count += 1
    before = stdout
    out, in = redirect_stdout()
    printed = @async read(out, String)
    value, failed = nothing, nothing
    try
        value = include_string(Main, content["code"], "In")
    catch error
        failed = error isa LoadError ? error.error : error
    end
    redirect_stdout(before)
    close(in)
    text = fetch(printed)
    isempty(text) || publish("stream", "{\"name\": \"stdout\", \"text\": $(json(text))}")
    if failed !== nothing
        told = "\"ename\": $(json(string(typeof(failed)))), \"evalue\": $(json(sprint(showerror, failed))), \"traceback\": []"
        publish("error", "{$told}")
        return "{\"status\": \"error\", \"execution_count\": $(kernel.count), $told}"
    end
    shown = value === nothing ? "" : Base.invokelatest(sprint, show, MIME("text/plain"), value)
    data = "{\"text/plain\": $(json(shown))}"
    isempty(shown) || publish("execute_result", "{\"execution_count\": $(kernel.count), \"metadata\": {}, \"data\": $data}")
    "{\"status\": \"ok\", \"execution_count\": $(kernel.count), \"payload\": [], \"user_expressions\": {}}"
end

function signed(kernel, identities, kind, content, parent)
    head = "{\"msg_id\": \"$(uuid4())\", \"session\": \"test\", \"username\": \"\", \"version\": \"5.3\", " *
        "\"date\": \"2030-01-01T00:00:00Z\", \"msg_type\": \"$kind\"}"
    parts = [head, parent, "{}", content]
    signature = isempty(kernel.key) ? "" : bytes2hex(hmac_sha256(kernel.key, join(parts)))
    [identities; Vector{UInt8}.(["<IDS|MSG>"; signature; parts])]
end

end
