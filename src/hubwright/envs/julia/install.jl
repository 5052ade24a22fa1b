# Fills the first depot: registries, and the packages of the active project.
import Pkg
include("telling.jl")

registry(text) = startswith(text, '/') ? Pkg.RegistrySpec(path=text) :
    occursin(r"://|@", text) ? Pkg.RegistrySpec(url=text) : Pkg.RegistrySpec(name=text)

by_name(name, version) = isempty(version) ? Pkg.PackageSpec(name=name) : Pkg.PackageSpec(name=name, version=version)
by_address(url, revision) = isempty(revision) ? Pkg.PackageSpec(url=url) : Pkg.PackageSpec(url=url, rev=revision)

function install()
    # Repositories of this machine are root's, and git would not read those of another account.
    write(joinpath(homedir(), ".gitconfig"), "[safe]\n\tdirectory = *\n")
    for (text,) in asked("registry")
        tell("step", "Fetching the registry $(basename(text))")
        Pkg.Registry.add(registry(text))
    end
    locked = asked("locked")
    if !isempty(locked)
        project = mkpath(dirname(Base.active_project()))
        foreach(name -> cp(joinpath(locked[1][1], name), joinpath(project, name)), ["Project.toml", "Manifest.toml"])
        Pkg.instantiate()
    else
        folders = [Pkg.PackageSpec(path=path) for (path,) in asked("folder")]
        isempty(folders) || Pkg.develop(folders)
        others = [[by_address(line...) for line in asked("address")]; [by_name(line...) for line in asked("name")]]
        isempty(others) || Pkg.add(others)
        haskey(Pkg.project().dependencies, "IJulia") || Pkg.add("IJulia")
    end
    for (name, _) in Pkg.project().dependencies
        tell("direct", name)
    end
    for (uuid, package) in Pkg.dependencies()
        Pkg.Types.is_stdlib(uuid) || tell("package", package.name, something(package.version, "0"))
    end
end

guarded(install)
