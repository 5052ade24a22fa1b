"""Stands in for the package of this name, which an example asks for and the tests cannot reach."""
module Plots
import Words
export plot
plot(values) = "a line through $(length(values)) points"
end
