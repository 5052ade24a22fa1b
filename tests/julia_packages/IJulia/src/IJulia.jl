"""A kernel that speaks as much of Jupyter's protocol as JupyterLab and the tests need, in place of the real one, which is
on the net.

It has that one's name, is started like it, and says what it says where the tests look. Connections are ZeroMQ's, by
Debian's library. Nobody asks it on `stdin`, and while a cell runs it answers nothing else.
"""
module IJulia

using Random, SHA, UUIDs
include("json.jl")
include("zmq.jl")

"""Numbers for messages, so that what people draw is not changed; made as the real one makes them, when it is loaded."""
const NUMBERS = Random.seed!(Random.MersenneTwister(0))

function __init__()
    Random.seed!(NUMBERS)
end

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
    publish(kernel, "{}", "status", "{\"execution_state\": \"starting\"}")
    while true
        try
            serve(kernel)
        catch error # an interrupt between two cells is nobody's
            error isa InterruptException || rethrow()
        end
    end
end

"""Answer what has come, after a tenth of a second at the latest."""
function serve(kernel)
    for (socket, is_ready) in zip((kernel.control, kernel.shell), ready([kernel.control, kernel.shell, kernel.heartbeat]))
        is_ready && answer(kernel, socket)
    end
    while ready([kernel.heartbeat])[1]
        transmit(kernel.heartbeat, receive(kernel.heartbeat))
    end
end

function answer(kernel, socket)
    parts = receive(socket)
    mark = findfirst(==(Vector{UInt8}("<IDS|MSG>")), parts)
    parent = String(copy(parts[mark + 2]))
    kind, content = parse_json(parent)["msg_type"], parse_json(String(copy(parts[mark + 5])))
    say(kind, what) = publish(kernel, parent, kind, what)
    say("status", "{\"execution_state\": \"busy\"}")
    if endswith(kind, "_request")
        reply = kind == "execute_request" ? execute(kernel, content, say) : reply_to(kind, content)
        transmit(socket, signed(kernel, parts[1:mark - 1], replace(kind, "request" => "reply"), reply, parent))
    end
    say("status", "{\"execution_state\": \"idle\"}")
    kind == "shutdown_request" && exit()
end

"""Return what is said to a request other than to run a cell; JupyterLab fails where a field is missing."""
function reply_to(kind, content)
    kind == "kernel_info_request" && return INFO
    kind == "comm_info_request" && return "{\"status\": \"ok\", \"comms\": {}}"
    kind == "history_request" && return "{\"status\": \"ok\", \"history\": []}"
    kind == "is_complete_request" && return "{\"status\": \"unknown\"}"
    kind == "inspect_request" && return "{\"status\": \"ok\", \"found\": false, \"data\": {}, \"metadata\": {}}"
    kind == "shutdown_request" && return "{\"status\": \"ok\", \"restart\": $(content["restart"])}"
    if kind == "complete_request"
        place = Int(content["cursor_pos"])
        return "{\"status\": \"ok\", \"matches\": [], \"cursor_start\": $place, \"cursor_end\": $place, \"metadata\": {}}"
    end
    "{\"status\": \"ok\"}"
end

const INFO = """{"status": "ok", "protocol_version": "5.3", "implementation": "test", "implementation_version": "0", "banner": "",
    "help_links": [], "language_info": {"name": "julia", "version": "$VERSION", "mimetype": "application/julia",
    "file_extension": ".jl"}}"""

function execute(kernel, content, say)
    if !content["silent"]
        kernel.count += 1
        say("execute_input", "{\"execution_count\": $(kernel.count), \"code\": $(json(content["code"]))}")
    end
    value, failed = nothing, nothing
    telling(text -> say("stream", "{\"name\": \"stdout\", \"text\": $(json(text))}")) do
        try
            value = include_string(Main, content["code"], "In[$(kernel.count)]")
        catch error
            failed = error isa LoadError ? error.error : error
        end
    end
    if failed !== nothing
        name, text = json(string(typeof(failed))), json(sprint(showerror, failed))
        told = "\"ename\": $name, \"evalue\": $text, \"traceback\": [$text]"
        say("error", "{$told}")
        return "{\"status\": \"error\", \"execution_count\": $(kernel.count), $told}"
    end
    shown = value === nothing || content["silent"] ? "" : Base.invokelatest(sprint, show, MIME("text/plain"), value)
    data = "{\"text/plain\": $(json(shown))}"
    isempty(shown) || say("execute_result", "{\"execution_count\": $(kernel.count), \"metadata\": {}, \"data\": $data}")
    "{\"status\": \"ok\", \"execution_count\": $(kernel.count), \"payload\": [], \"user_expressions\": {}}"
end

"""Do some work and tell what it prints, line by line, while it goes on."""
function telling(work, tell)
    before = stdout
    out, in = redirect_stdout()
    reading = @async for line in eachline(out; keep=true)
        tell(line)
    end
    try
        work()
    finally
        redirect_stdout(before)
        close(in)
        wait(reading)
    end
end

"""Tell all who listen; `parent` is the header of the message that it is about."""
publish(kernel, parent, kind, content) = transmit(kernel.iopub, signed(kernel, [Vector{UInt8}(kind)], kind, content, parent))

function signed(kernel, identities, kind, content, parent)
    head = "{\"msg_id\": \"$(uuid4(NUMBERS))\", \"session\": \"test\", \"username\": \"\", \"version\": \"5.3\", " *
        "\"date\": \"2030-01-01T00:00:00Z\", \"msg_type\": \"$kind\"}"
    parts = [head, parent, "{}", content]
    signature = isempty(kernel.key) ? "" : bytes2hex(hmac_sha256(kernel.key, join(parts)))
    [identities; Vector{UInt8}.(["<IDS|MSG>"; signature; parts])]
end

end
