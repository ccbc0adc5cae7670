# mypy: ignore-errors
"""Runs inside Blender: builds the scene that a folder describes, lets it settle, renders it.

`blender -b -P blender_scene.py -- FOLDER` reads FOLDER/scene.json and FOLDER/mesh-*.bin and writes
FOLDER/frame.png. All shapes and colours come from the folder: this script holds no artwork.
"""

import json
import sys
from array import array
from pathlib import Path

import bmesh
import bpy
from mathutils import Vector


def read_mesh(folder, number, entry):
    """The mesh of one entry: points, quads, then tint and roughness as one RGBA a vertex."""
    points, quads, tint = array("f"), array("i"), array("f")
    with (folder / f"mesh-{number}.bin").open("rb") as file:
        points.fromfile(file, entry["points"] * 3)
        quads.fromfile(file, entry["quads"] * 4)
        tint.fromfile(file, entry["points"] * 4)
    mesh = bpy.data.meshes.new(f"mesh-{number}")
    mesh.vertices.add(entry["points"])
    mesh.vertices.foreach_set("co", points)
    mesh.loops.add(entry["quads"] * 4)
    mesh.loops.foreach_set("vertex_index", quads)
    mesh.polygons.add(entry["quads"])
    mesh.polygons.foreach_set("loop_start", array("i", range(0, entry["quads"] * 4, 4)))
    mesh.polygons.foreach_set("loop_total", array("i", [4]) * entry["quads"])
    mesh.polygons.foreach_set("use_smooth", array("b", [1]) * entry["quads"])
    mesh.attributes.new("tint", "FLOAT_COLOR", "POINT").data.foreach_set("color", tint)
    mesh.update()
    mesh.materials.append(make_material(f"finish-{number}", entry["finish"]))
    return mesh


def make_material(name, finish):
    """The one material there is: tint and roughness from the vertices, the rest from `finish`."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    tint = nodes.new("ShaderNodeAttribute")
    tint.attribute_name = "tint"
    links.new(tint.outputs["Color"], shader.inputs["Base Color"])
    links.new(tint.outputs["Alpha"], shader.inputs["Roughness"])
    shader.inputs["Clearcoat"].default_value = finish["coat"]
    shader.inputs["Clearcoat Roughness"].default_value = 0.12
    shader.inputs["Sheen"].default_value = finish["sheen"]
    shader.inputs["Sheen Tint"].default_value = 0.6
    shader.inputs["Specular"].default_value = finish["specular"]
    if finish["glow"]:
        shader.inputs["Subsurface"].default_value = finish["glow"]
        shader.inputs["Subsurface Radius"].default_value = (0.12, 0.07, 0.03)
        links.new(tint.outputs["Color"], shader.inputs["Subsurface Color"])
    if finish["bump"]:
        add_bump(nodes, links, shader, finish)
    return material


def add_bump(nodes, links, shader, finish):
    """Relief finer than the mesh: pits (cells) or grain (noise)."""
    place = nodes.new("ShaderNodeTexCoord")
    pattern = nodes.new("ShaderNodeTexVoronoi" if finish["pits"] else "ShaderNodeTexNoise")
    pattern.inputs["Scale"].default_value = finish["bump_scale"]
    links.new(place.outputs["Object"], pattern.inputs["Vector"])
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = finish["bump"]
    bump.inputs["Distance"].default_value = 0.02
    links.new(pattern.outputs[0], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], shader.inputs["Normal"])


def add_body(item, entry, mesh):
    """A visible object and, if it falls, a coarse hidden hull that stands in for it meanwhile."""
    seen = bpy.data.objects.new("item", mesh)
    bpy.context.collection.objects.link(seen)
    seen.location, seen.rotation_euler = item["at"], item["turn"]
    seen.scale = [item["scale"]] * 3
    if item["how"] != "falls":
        return seen, None
    hull = bpy.data.objects.new("hull", bpy.data.meshes.new("hull"))
    shape = bmesh.new()
    for point in entry["hull"]:
        shape.verts.new(Vector(point) * item["scale"])
    bmesh.ops.convex_hull(shape, input=shape.verts)
    shape.to_mesh(hull.data)
    shape.free()
    hull.location, hull.rotation_euler = item["at"], item["turn"]
    add_physics(hull, "ACTIVE")
    return seen, hull


def rest(things):
    """Lowers things onto the highest of what lies below them on the settled heap."""
    for thing in things:
        x, y, lift = thing.location
        thing.hide_viewport = True
        view = bpy.context.view_layer
        view.update()
        tops = []
        for aside, back in ((0, 0), (0.3, 0), (-0.3, 0), (0, 0.3), (0, -0.3)):
            start = Vector((x + aside, y + back, 50))
            hit = bpy.context.scene.ray_cast(view.depsgraph, start, Vector((0, 0, -1)))
            tops.append(hit[1].z)
        thing.hide_viewport = False
        thing.location.z = max(tops) + lift


def add_physics(thing, kind):
    """Makes an object take part in the fall, unseen."""
    bpy.context.collection.objects.link(thing)
    thing.hide_render = True
    bpy.context.scene.rigidbody_world.collection.objects.link(thing)
    body = thing.rigid_body
    body.type = kind
    body.collision_shape = "CONVEX_HULL"
    body.use_margin, body.collision_margin = True, 0.004
    body.friction, body.restitution = 0.5, 0.0
    body.linear_damping, body.angular_damping = 0.15, 0.35


def add_wall(wall):
    """A hidden box that holds the pile in."""
    shape = bmesh.new()
    bmesh.ops.create_cube(shape, size=1)
    mesh = bpy.data.meshes.new("wall")
    shape.to_mesh(mesh)
    shape.free()
    for vertex in mesh.vertices:
        vertex.co = [c * s + o for c, s, o in zip(vertex.co, wall["size"], wall["at"], strict=True)]
    add_physics(bpy.data.objects.new("wall", mesh), "PASSIVE")


def settle(pairs, frames):
    """Lets gravity work, then puts each visible object where its hull has come to rest."""
    scene = bpy.context.scene
    scene.frame_end = frames
    world = scene.rigidbody_world
    world.point_cache.frame_end = frames
    world.substeps_per_frame, world.solver_iterations = 6, 12
    for frame in range(1, frames + 1):
        scene.frame_set(frame)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    for seen, hull in pairs:
        place = hull.evaluated_get(depsgraph).matrix_world
        seen.rotation_euler = place.to_euler()
        seen.location = place.to_translation()


def add_lights(lights, sky):
    """The windows and lamps (area lights that look at a point), and the light all round."""
    for entry in lights:
        data = bpy.data.lights.new("light", "AREA")
        data.shape, data.size, data.size_y = "RECTANGLE", *entry["size"]
        data.energy, data.color = entry["power"], entry["colour"]
        light = bpy.data.objects.new("light", data)
        light.location = entry["at"]
        aim(light, entry["target"])
        bpy.context.collection.objects.link(light)
    world = bpy.context.scene.world or bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (*sky, 1)


def aim(thing, target):
    """Turns a camera or light to look at a point."""
    view = Vector(target) - Vector(thing.location)
    thing.rotation_euler = view.to_track_quat("-Z", "Y").to_euler()


def add_camera(entry):
    """The camera, with a little blur in front of and behind what it looks at."""
    data = bpy.data.cameras.new("camera")
    data.lens = entry["lens"]
    data.dof.use_dof = True
    data.dof.aperture_fstop = entry["fstop"]
    camera = bpy.data.objects.new("camera", data)
    camera.location = entry["at"]
    data.dof.focus_distance = (Vector(entry["target"]) - Vector(entry["at"])).length
    aim(camera, entry["target"])
    bpy.context.collection.objects.link(camera)
    bpy.context.scene.camera = camera


def set_quality(film):
    """How the picture is computed: on two CPU threads, always from the same random numbers."""
    scene = bpy.context.scene
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = film["size"]
    render.resolution_percentage = 100
    render.threads_mode, render.threads = "FIXED", 2
    render.use_stamp = False
    cycles.samples, cycles.seed = film["samples"], 1
    cycles.use_denoising, cycles.use_adaptive_sampling = False, True
    cycles.adaptive_threshold = 0.03
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 3
    scene.view_settings.view_transform = film["transform"]
    scene.view_settings.look = film["look"]
    scene.view_settings.exposure = film["exposure"]


def main(folder):
    """Builds, settles and renders the scene in `folder`."""
    plan = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.rigidbody.world_add()
    bpy.context.scene.rigidbody_world.collection = bpy.data.collections.new("fall")
    meshes = [read_mesh(folder, number, entry) for number, entry in enumerate(plan["meshes"])]
    for wall in plan["walls"]:
        add_wall(wall)
    made = [add_body(it, plan["meshes"][it["mesh"]], meshes[it["mesh"]]) for it in plan["items"]]
    settle([pair for pair in made if pair[1]], plan["settle"])
    rest([made[i][0] for i, item in enumerate(plan["items"]) if item["how"] == "rests"])
    add_lights(plan["lights"], plan["sky"])
    add_camera(plan["camera"])
    set_quality(plan["film"])
    bpy.context.scene.render.filepath = str(folder / "frame.png")
    bpy.ops.render.render(write_still=True)


main(Path(sys.argv[sys.argv.index("--") + 1]))
