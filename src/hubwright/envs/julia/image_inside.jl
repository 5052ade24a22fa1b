# Runs while Julia writes an image of itself: loads the packages, compiles what a warm-up compiled, and forgets this run.
# Base is not started as usual then. Follows what PackageCompiler 1 and 2 do.
Base.reinit_stdio()
@eval Sys BINDIR = ccall(:jl_get_julia_bindir, Any, ())::String
@eval Sys STDLIB = abspath(BINDIR, Base.DATAROOTDIR, "julia", "stdlib", "v$(VERSION.major).$(VERSION.minor)")
Base.init_depot_path()
append!(empty!(LOAD_PATH), [unsafe_string(Base.JLOptions().project), "@stdlib"])

for name in split(ENV["HUBWRIGHT_IMAGE"], ',')
    Base.require(Main, Symbol(name))
end

module HubwrightWarmUp
for (package, found) in Base.loaded_modules
    isdefined(@__MODULE__, Symbol(package.name)) || Core.eval(@__MODULE__, :(const $(Symbol(package.name)) = $found))
end
for line in eachline(ENV["HUBWRIGHT_TRACE"])
    try # what was compiled may be of this one run: a closure, a type that the program defined
        Core.eval(@__MODULE__, Meta.parse(line))
    catch error
        error isa InterruptException && rethrow()
    end
end
end

# What random numbers are read from (`seed!()`, as IJulia calls it when it is loaded) is open in this process only.
for (package, found) in Base.loaded_modules, name in (:DEV_RANDOM, :DEV_URANDOM)
    file = package.name == "Random" && isdefined(found, name) ? getfield(found, name) : nothing
    file isa Base.RefValue{IOStream} && unsafe_store!(Ptr{Ptr{Cvoid}}(pointer_from_objref(file)), C_NULL)
end

foreach(empty!, [Core.ARGS, Base.ARGS, LOAD_PATH, DEPOT_PATH])
if isdefined(Base, :TOML_CACHE)
    empty!(Base.TOML_CACHE.d)
    Base.TOML.reinit!(Base.TOML_CACHE.p, "")
end
@eval Sys begin
    BINDIR = ""
    STDLIB = ""
end
