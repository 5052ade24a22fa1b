# Precompiles what the active project has, as those who load it will find it; and loads what was asked for.
import Pkg
include("telling.jl")

function precompile_all()
    Pkg.precompile()
    for name in keys(Pkg.project().dependencies)
        Base.require(Main, Symbol(name))
    end
end

guarded(precompile_all)
