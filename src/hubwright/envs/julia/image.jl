# Makes a system image of named packages: with PackageCompiler where the registries have it, else by Julia's own means.
import Libdl, Pkg
include("telling.jl")

const NAMES = first.(asked("image"))
const WARM_UPS = first.(asked("warm up"))
const TARGET, IMAGE = only(asked("target"))[1], only(asked("path"))[1]
const PROJECT = dirname(Base.active_project())

"""Make the image with PackageCompiler, installed in a depot of its own; return whether it can be had."""
function by_package_compiler()
    Pkg.activate(mktempdir())
    try
        Pkg.add("PackageCompiler")
    catch error
        error isa Pkg.Types.PkgError || rethrow()
        return false
    end
    tell("step", "Making the image with PackageCompiler")
    @eval Main import PackageCompiler
    Base.invokelatest(Main.PackageCompiler.create_sysimage, Symbol.(NAMES); sysimage_path=IMAGE, project=PROJECT,
        cpu_target=TARGET, precompile_execution_file=WARM_UPS)
    true
end

"""Make the image as PackageCompiler does: an object file of Julia with the packages loaded, which a compiler links."""
function by_julia()
    flags = VERSION >= v"1.9-" ? `--pkgimages=no --threads=1` : ``
    julia = `$(Base.julia_cmd()) --startup-file=no --project=$PROJECT $flags`
    folder = mktempdir()
    trace, object = joinpath(folder, "trace"), joinpath(folder, VERSION >= v"1.8-" ? "image.a" : "image.o")
    touch(trace)
    for program in WARM_UPS
        tell("step", "Running $(basename(program))")
        run(`$julia --trace-compile=$trace $program`)
    end
    tell("step", "Compiling the image, which takes some minutes")
    inside = joinpath(@__DIR__, "image_inside.jl")
    environment = merge(ENV, Dict("HUBWRIGHT_IMAGE" => join(NAMES, ','), "HUBWRIGHT_TRACE" => trace))
    run(setenv(`$julia --cpu-target=$TARGET --output-o=$object $inside`, environment))
    tell("step", "Linking the image")
    libraries = filter(path -> occursin(r"^libjulia(-internal)?\.", basename(path)), Libdl.dllist())
    ours = filter(variable -> first(variable) != "LD_LIBRARY_PATH", ENV) # the compiler is the machine's
    compiler = only(asked("compiler"))[1]
    run(setenv(`$compiler -shared -o $IMAGE -Wl,--whole-archive $object -Wl,--no-whole-archive $libraries`, ours))
end

guarded(() -> by_package_compiler() || by_julia())
